RUN=$(curl -sS --fail-with-body "$OPENAI_BASE_URL/runs" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d '{"model": "kimi-k2-thinking", "input": "What is 17 * 23?", "limits": {"max_cost": "0.50"}}' | jq -r .id)

# Its events, up to the last: after a cut, Last-Event-ID names the last that came.
curl -sS --fail-with-body -N "$OPENAI_BASE_URL/runs/$RUN/events" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Last-Event-ID: 0"

curl -sS --fail-with-body "$OPENAI_BASE_URL/runs/$RUN" -H "Authorization: Bearer $OPENAI_API_KEY"
curl -sS --fail-with-body "$OPENAI_BASE_URL/runs/$RUN/export?format=markdown" -H "Authorization: Bearer $OPENAI_API_KEY"
curl -sS --fail-with-body -X POST "$OPENAI_BASE_URL/runs/$RUN/cancel" -H "Authorization: Bearer $OPENAI_API_KEY"
curl -sS --fail-with-body "$OPENAI_BASE_URL/runs" -H "Authorization: Bearer $OPENAI_API_KEY"
