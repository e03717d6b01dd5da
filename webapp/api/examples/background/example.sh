RESPONSE=$(curl -sS --fail-with-body "$OPENAI_BASE_URL/responses" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d '{"model": "kimi-k2-thinking", "input": "What is 17 * 23?", "background": true}' | jq -r .id)

curl -sS --fail-with-body "$OPENAI_BASE_URL/responses/$RESPONSE" -H "Authorization: Bearer $OPENAI_API_KEY"

# Its events, those of before and those to come
curl -sS --fail-with-body -N "$OPENAI_BASE_URL/responses/$RESPONSE?stream=true&starting_after=0" \
  -H "Authorization: Bearer $OPENAI_API_KEY"

curl -sS --fail-with-body -X POST "$OPENAI_BASE_URL/responses/$RESPONSE/cancel" \
  -H "Authorization: Bearer $OPENAI_API_KEY"
