"""What the endpoints for files, batches, runs, money and webhooks answer."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from webapp.api.openapi.objects_chat import Moment, Tokens

Amount = Annotated[str, Meta(description="An exact decimal amount, as text.")]


class FileObject(Struct):
    id: str
    object: Literal["file"]
    bytes: int
    created_at: Moment
    filename: str
    purpose: Literal["file-extract", "batch", "batch_output"]
    status: Literal["processed"]
    status_details: str


class FileList(Struct):
    object: Literal["list"]
    data: list[FileObject]
    has_more: bool
    first_id: str | UnsetType = UNSET
    last_id: str | UnsetType = UNSET


class FileDeleted(Struct):
    id: str
    object: Literal["file"]
    deleted: bool


class BatchCounts(Struct):
    total: int
    completed: int
    failed: int


class BatchInputDetails(Struct):
    cached_tokens: Tokens


class BatchOutputDetails(Struct):
    reasoning_tokens: Tokens


class BatchUsage(Struct):
    input_tokens: Tokens
    input_tokens_details: BatchInputDetails
    output_tokens: Tokens
    output_tokens_details: BatchOutputDetails
    total_tokens: Tokens


class BatchErrors(Struct):
    object: Literal["list"]
    data: list[dict[str, Any]]


class BatchObject(Struct):
    id: str
    object: Literal["batch"]
    endpoint: str
    errors: BatchErrors | None
    input_file_id: str
    completion_window: str
    status: Literal[
        "validating",
        "failed",
        "in_progress",
        "finalizing",
        "completed",
        "expired",
        "cancelling",
        "cancelled",
    ]
    output_file_id: str | None
    error_file_id: str | None
    created_at: Moment
    expires_at: Moment
    in_progress_at: Moment | None
    finalizing_at: Moment | None
    completed_at: Moment | None
    failed_at: Moment | None
    expired_at: Moment | None
    cancelling_at: Moment | None
    cancelled_at: Moment | None
    request_counts: BatchCounts
    usage: BatchUsage
    metadata: dict[str, str]


class BatchList(Struct):
    object: Literal["list"]
    data: list[BatchObject]
    has_more: bool
    first_id: str | UnsetType = UNSET
    last_id: str | UnsetType = UNSET


class RunBrief(Struct):
    id: str
    object: Literal["run"]
    status: str
    model: str
    conversation: str
    created_at: Moment
    finished_at: Moment | None
    finish_reason: str | None
    limit: str | None
    error: str | None


class RunList(Struct):
    object: Literal["list"]
    data: list[RunBrief]
    has_more: bool


class WaitingCall(Struct):
    """A call that waits for a person: decide it with its `call_id` and its `arguments`."""

    call_id: str
    tool: str
    arguments: str
    waiting_for: str
    prompt: str
    expires_at: Moment | None


class RunUsage(Struct):
    input_uncached_tokens: Tokens
    input_cached_tokens: Tokens
    output_tokens: Tokens
    reasoning_tokens: Tokens


class RunCost(Struct):
    amount: Any
    currency: str


class Run(RunBrief):
    num_steps: int
    output: str
    waiting: list[WaitingCall]
    usage: RunUsage | None
    cost: RunCost | None
    last_event: int


class RunEvent(Struct):
    """Numbers are dense from 1; the last event is `turn.finished`. Each type has fields of its own."""

    seq: int
    type: str


class CallQuote(Struct):
    """What one call may cost at most, and about what it will."""

    object: Literal["quote"]
    model: str
    currency: str
    available: Amount
    max_cost: Amount
    expected_cost: Amount
    input_tokens: Tokens
    max_input_tokens: Tokens
    expected_output_tokens: Tokens
    max_output_tokens: Tokens


class ReceiptUsage(Struct):
    input_uncached_tokens: Tokens
    input_cached_tokens: Tokens
    output_tokens: Tokens
    of_which_reasoning_tokens: Tokens
    is_estimated: bool


class ReceiptPrice(Struct):
    id: int
    currency: str
    valid_from: Moment
    input_per_million: Amount
    cached_input_per_million: Amount
    output_per_million: Amount


class Signature(Struct):
    algorithm: Literal["ed25519"]
    key_id: str
    public_key: str
    over: str
    value: str


class Receipt(Struct):
    """What one request was billed, with everything to compute it again."""

    object: Literal["receipt"]
    id: str
    request_id: str
    created: Moment
    model: str
    finish_reason: str
    usage: ReceiptUsage
    price: ReceiptPrice | None
    fees: Amount
    charged: Amount
    currency: str
    ledger_entry: int | None
    signature: Signature


class UsageLine(Struct):
    object: Literal["usage.line"]
    day: str
    model: str
    num_records: int
    num_errors: int
    input_uncached_tokens: Tokens
    input_cached_tokens: Tokens
    output_tokens: Tokens
    reasoning_tokens: Tokens
    num_tool_calls: int
    currency: str
    cost: Amount


class UsageList(Struct):
    object: Literal["list"]
    start: str
    end: str
    time_zone: str
    data: list[UsageLine]


class WebhookEndpoint(Struct):
    """`signing_secret` is told once: when the endpoint is made, or its secret is."""

    id: str
    object: Literal["webhook_endpoint"]
    name: str
    url: str
    event_types: list[str]
    is_active: bool
    signing_secret_hint: str
    created_at: Moment
    updated_at: Moment
    signing_secret: str | UnsetType = UNSET


class WebhookEndpointList(Struct):
    object: Literal["list"]
    data: list[WebhookEndpoint]
    has_more: bool
    first_id: str | None
    last_id: str | None


class WebhookEndpointDeleted(Struct):
    id: str
    object: Literal["webhook_endpoint.deleted"]
    deleted: bool


class WebhookTest(Struct):
    object: Literal["webhook_endpoint.test"]
    webhook_endpoint_id: str
    success: bool
    event_type: str
    status_code: int


class WebhookDelivery(Struct):
    object: Literal["webhook_delivery"]
    event_id: str
    event_type: str
    state: str
    num_tries: int
    status_code: int | None
    error: str
    created_at: Moment
    due_at: Moment | None


class WebhookDeliveryList(Struct):
    object: Literal["list"]
    data: list[WebhookDelivery]


class EventTypeList(Struct):
    object: Literal["list"]
    data: list[str]


class WebhookData(Struct):
    id: str


class WebhookEvent(Struct):
    """Signed per Standard Webhooks. It may come twice: know it by its id."""

    id: str
    object: Literal["event"]
    type: str
    created_at: Moment
    data: WebhookData
