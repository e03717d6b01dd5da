curl -sS --fail-with-body "$OPENAI_BASE_URL/models" -H "Authorization: Bearer $OPENAI_API_KEY"
curl -sS --fail-with-body "$OPENAI_BASE_URL/models/kimi-k2-thinking" -H "Authorization: Bearer $OPENAI_API_KEY"

curl -sS --fail-with-body "$ANTHROPIC_BASE_URL/v1/models" -H "x-api-key: $ANTHROPIC_API_KEY"
curl -sS --fail-with-body "$ANTHROPIC_BASE_URL/v1/models/kimi-k2-thinking" -H "x-api-key: $ANTHROPIC_API_KEY"
