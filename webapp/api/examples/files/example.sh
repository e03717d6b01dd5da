FILE=$(printf 'Paris is the capital of France.' | curl -sS --fail-with-body "$OPENAI_BASE_URL/files" \
  -H "Authorization: Bearer $OPENAI_API_KEY" \
  -F purpose=file-extract -F 'file=@-;filename=facts.txt' | jq -r .id)

curl -sS --fail-with-body "$OPENAI_BASE_URL/files" -H "Authorization: Bearer $OPENAI_API_KEY"
curl -sS --fail-with-body "$OPENAI_BASE_URL/files/$FILE" -H "Authorization: Bearer $OPENAI_API_KEY"
curl -sS --fail-with-body "$OPENAI_BASE_URL/files/$FILE/content" -H "Authorization: Bearer $OPENAI_API_KEY"
curl -sS --fail-with-body -X DELETE "$OPENAI_BASE_URL/files/$FILE" -H "Authorization: Bearer $OPENAI_API_KEY"
