RESPONSE=$(curl -sS --fail-with-body "$OPENAI_BASE_URL/responses" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d '{"model": "kimi-k2-thinking", "input": "What is 17 * 23?"}' | jq -r .id)

curl -sS --fail-with-body "$OPENAI_BASE_URL/responses/$RESPONSE/input_items" \
  -H "Authorization: Bearer $OPENAI_API_KEY"

curl -sS --fail-with-body -X DELETE "$OPENAI_BASE_URL/responses/$RESPONSE" \
  -H "Authorization: Bearer $OPENAI_API_KEY"
