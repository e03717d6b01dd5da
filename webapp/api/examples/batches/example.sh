FILE=$(curl -sS --fail-with-body "$OPENAI_BASE_URL/files" -H "Authorization: Bearer $OPENAI_API_KEY" \
  -F purpose=batch -F 'file=@-;filename=lines.jsonl' <<'LINES' | jq -r .id
{"custom_id": "q1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "kimi-k2-thinking", "messages": [{"role": "user", "content": "What is 17 * 23?"}]}}
LINES
)

BATCH=$(curl -sS --fail-with-body "$OPENAI_BASE_URL/batches" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d "{\"input_file_id\": \"$FILE\", \"endpoint\": \"/v1/chat/completions\", \"completion_window\": \"24h\"}" | jq -r .id)

curl -sS --fail-with-body "$OPENAI_BASE_URL/batches/$BATCH" -H "Authorization: Bearer $OPENAI_API_KEY"
curl -sS --fail-with-body "$OPENAI_BASE_URL/batches" -H "Authorization: Bearer $OPENAI_API_KEY"
# One that has ended answers 409.
curl -sS -X POST "$OPENAI_BASE_URL/batches/$BATCH/cancel" -H "Authorization: Bearer $OPENAI_API_KEY"
