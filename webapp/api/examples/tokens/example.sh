curl -sS --fail-with-body "$OPENAI_BASE_URL/tokenizers/estimate-token-count" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d '{"model": "kimi-k2-thinking", "messages": [{"role": "user", "content": "What is 17 * 23?"}]}'

curl -sS --fail-with-body "$OPENAI_BASE_URL/users/me/balance" -H "Authorization: Bearer $OPENAI_API_KEY"
