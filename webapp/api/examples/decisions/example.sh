RUN=$(curl -sS --fail-with-body "$OPENAI_BASE_URL/runs" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d '{"model": "kimi-k2-thinking", "input": "Ask me for a colour.", "limits": {"max_steps": 2}}' | jq -r .id)

until curl -sS --fail-with-body "$OPENAI_BASE_URL/runs/$RUN" -H "Authorization: Bearer $OPENAI_API_KEY" \
  | jq -e '.status == "waiting"' > /dev/null; do sleep 0.5; done

DECISION=$(curl -sS --fail-with-body "$OPENAI_BASE_URL/runs/$RUN" -H "Authorization: Bearer $OPENAI_API_KEY" \
  | jq '.waiting[0] | {call_id, arguments, decision: "answered", answer: "Blue."}')
curl -sS --fail-with-body "$OPENAI_BASE_URL/runs/$RUN/approve" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" -d "$DECISION"

until curl -sS --fail-with-body "$OPENAI_BASE_URL/runs/$RUN" -H "Authorization: Bearer $OPENAI_API_KEY" \
  | jq -e '.status == "finished"' > /dev/null; do sleep 0.5; done

# One that no limit ended answers 409.
curl -sS "$OPENAI_BASE_URL/runs/$RUN/continue" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" -d '{"steps": 10}'
