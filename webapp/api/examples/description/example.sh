curl -sS --fail-with-body "$OPENAI_BASE_URL/openapi.json"
