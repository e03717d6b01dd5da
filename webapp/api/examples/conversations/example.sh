CONVERSATION=$(curl -sS --fail-with-body "$OPENAI_BASE_URL/conversations" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d '{"metadata": {"topic": "numbers"}}' | jq -r .id)

ITEM=$(curl -sS --fail-with-body "$OPENAI_BASE_URL/conversations/$CONVERSATION/items" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d '{"items": [{"role": "user", "content": "Remember the number 391."}]}' | jq -r .first_id)

curl -sS --fail-with-body "$OPENAI_BASE_URL/conversations/$CONVERSATION/items" \
  -H "Authorization: Bearer $OPENAI_API_KEY"
curl -sS --fail-with-body "$OPENAI_BASE_URL/conversations/$CONVERSATION/items/$ITEM" \
  -H "Authorization: Bearer $OPENAI_API_KEY"
curl -sS --fail-with-body -X DELETE "$OPENAI_BASE_URL/conversations/$CONVERSATION/items/$ITEM" \
  -H "Authorization: Bearer $OPENAI_API_KEY"

curl -sS --fail-with-body "$OPENAI_BASE_URL/conversations/$CONVERSATION" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d '{"metadata": {"topic": "sums"}}'
curl -sS --fail-with-body "$OPENAI_BASE_URL/conversations/$CONVERSATION" \
  -H "Authorization: Bearer $OPENAI_API_KEY"
curl -sS --fail-with-body -X DELETE "$OPENAI_BASE_URL/conversations/$CONVERSATION" \
  -H "Authorization: Bearer $OPENAI_API_KEY"
