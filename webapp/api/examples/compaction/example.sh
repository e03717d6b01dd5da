curl -sS --fail-with-body "$OPENAI_BASE_URL/responses/input_tokens" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d '{"model": "kimi-k2-thinking", "input": "Remember the number 391."}'

curl -sS --fail-with-body "$OPENAI_BASE_URL/responses/compact" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d '{"model": "kimi-k2-thinking", "input": [{"role": "user", "content": "Remember the number 391."}]}'
