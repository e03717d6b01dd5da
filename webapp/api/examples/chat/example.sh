curl -sS --fail-with-body "$OPENAI_BASE_URL/chat/completions" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d '{"model": "kimi-k2-thinking", "messages": [{"role": "user", "content": "What is 17 * 23?"}]}'

# As a stream
curl -sS --fail-with-body -N "$OPENAI_BASE_URL/chat/completions" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d '{"model": "kimi-k2-thinking", "stream": true, "messages": [{"role": "user", "content": "What is 17 * 23?"}]}'

# With a tool, which the model asks for
curl -sS --fail-with-body "$OPENAI_BASE_URL/chat/completions" \
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \
  -d '{
    "model": "kimi-k2-thinking",
    "messages": [{"role": "user", "content": "Which weather has Paris?"}],
    "tools": [{"type": "function", "function": {
      "name": "weather",
      "description": "The weather of a city.",
      "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    }}]
  }'
