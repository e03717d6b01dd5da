curl -sS --fail-with-body "$ANTHROPIC_BASE_URL/v1/messages" \
  -H "x-api-key: $ANTHROPIC_API_KEY" -H "anthropic-version: 2023-06-01" -H "Content-Type: application/json" \
  -d '{"model": "kimi-k2-thinking", "max_tokens": 16000, "messages": [{"role": "user", "content": "What is 17 * 23?"}]}'

# As a stream
curl -sS --fail-with-body -N "$ANTHROPIC_BASE_URL/v1/messages" \
  -H "x-api-key: $ANTHROPIC_API_KEY" -H "anthropic-version: 2023-06-01" -H "Content-Type: application/json" \
  -d '{"model": "kimi-k2-thinking", "max_tokens": 16000, "stream": true,
       "messages": [{"role": "user", "content": "What is 17 * 23?"}]}'

curl -sS --fail-with-body "$ANTHROPIC_BASE_URL/v1/messages/count_tokens" \
  -H "x-api-key: $ANTHROPIC_API_KEY" -H "anthropic-version: 2023-06-01" -H "Content-Type: application/json" \
  -d '{"model": "kimi-k2-thinking", "messages": [{"role": "user", "content": "What is 17 * 23?"}]}'
