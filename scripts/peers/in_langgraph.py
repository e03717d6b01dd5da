# mypy: ignore-errors
# Its libraries are installed in the peers' environment only.
"""LangGraph with its SQLite checkpointer, driving the same task as ours. Runs in the peers' own environment:
`python in_langgraph.py STEPS DURABILITY` prints one JSON line; knows nothing of this project."""

import json
import os
import resource
import sys
import tempfile
import time
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

RESULT = "0123456789" * 200


class State(TypedDict):
    messages: Annotated[list[Any], add_messages]


def run(num_steps: int, durability: str) -> dict[str, Any]:
    """Seconds of each step (model node and tool node), bytes stored, growth of memory."""
    times: list[float] = []

    def model(state: State) -> dict[str, Any]:
        times.append(time.perf_counter())
        number = len(times)
        if number > num_steps:
            return {"messages": [AIMessage(content="The answer.")]}
        call = {"name": "look_up", "args": {"number": number}, "id": f"call_{number}"}
        return {"messages": [AIMessage(content="Looking it up.", tool_calls=[call])]}

    def tools(state: State) -> dict[str, Any]:
        calls = state["messages"][-1].tool_calls
        return {"messages": [ToolMessage(content=RESULT, tool_call_id=call["id"]) for call in calls]}

    graph = StateGraph(State)
    graph.add_node("model", model)
    graph.add_node("tools", tools)
    graph.add_edge(START, "model")
    graph.add_conditional_edges(
        "model", lambda state: "tools" if state["messages"][-1].tool_calls else END, ["tools", END]
    )
    graph.add_edge("tools", "model")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "state.sqlite")
        with SqliteSaver.from_conn_string(path) as saver:
            app = graph.compile(checkpointer=saver)
            memory_before = _memory_bytes()
            app.invoke(
                {"messages": [HumanMessage("What is it?")]},
                {"configurable": {"thread_id": "1"}, "recursion_limit": 2 * num_steps + 10},
                durability=durability,
            )
            saver.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        state_bytes = os.path.getsize(path)
    return {
        "seconds": [after - before for before, after in zip(times, times[1:], strict=False)],
        "state_bytes": state_bytes,
        "memory_growth_bytes": _memory_bytes() - memory_before,
    }


def _memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(int(sys.argv[1]), sys.argv[2])) + "\n")
