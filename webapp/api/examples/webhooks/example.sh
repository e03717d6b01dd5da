curl -sS --fail-with-body "$OPENAI_BASE_URL/webhook_event_types" -H "Authorization: Bearer $OPENAI_API_KEY"

ENDPOINT=$(curl -sS --fail-with-body "$OPENAI_BASE_URL/webhook_endpoints" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d "{\"name\": \"mine\", \"url\": \"$WEBHOOK_URL\", \"event_types\": [\"response.completed\"]}" | jq -r .id)

curl -sS --fail-with-body "$OPENAI_BASE_URL/webhook_endpoints/$ENDPOINT" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d '{"event_types": ["response.completed", "batch.completed"]}'
curl -sS --fail-with-body "$OPENAI_BASE_URL/webhook_endpoints/$ENDPOINT/test" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d '{"event_type": "response.completed"}'
curl -sS --fail-with-body "$OPENAI_BASE_URL/webhook_endpoints/$ENDPOINT/deliveries" -H "Authorization: Bearer $OPENAI_API_KEY"
curl -sS --fail-with-body "$OPENAI_BASE_URL/webhook_endpoints/$ENDPOINT" -H "Authorization: Bearer $OPENAI_API_KEY"
curl -sS --fail-with-body "$OPENAI_BASE_URL/webhook_endpoints" -H "Authorization: Bearer $OPENAI_API_KEY"
curl -sS --fail-with-body -X POST "$OPENAI_BASE_URL/webhook_endpoints/$ENDPOINT/rotate_secret" -H "Authorization: Bearer $OPENAI_API_KEY"
curl -sS --fail-with-body -X DELETE "$OPENAI_BASE_URL/webhook_endpoints/$ENDPOINT" -H "Authorization: Bearer $OPENAI_API_KEY"
