curl -sS --fail-with-body "$OPENAI_BASE_URL/quote" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d '{"url": "/v1/chat/completions",
       "body": {"model": "kimi-k2-thinking", "messages": [{"role": "user", "content": "What is 17 * 23?"}]}}'

REQUEST=$(curl -sS --fail-with-body "$OPENAI_BASE_URL/chat/completions" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d '{"model": "kimi-k2-thinking", "messages": [{"role": "user", "content": "What is 17 * 23?"}]}' | jq -r .id)

# It is written when the answer has ended.
until curl -sS --fail "$OPENAI_BASE_URL/receipts/$REQUEST" -H "Authorization: Bearer $OPENAI_API_KEY"; do sleep 0.2; done

curl -sS --fail-with-body "$OPENAI_BASE_URL/usage" -H "Authorization: Bearer $OPENAI_API_KEY"
