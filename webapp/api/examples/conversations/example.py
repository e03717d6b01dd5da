"""A conversation that the server keeps."""

from openai import OpenAI

client = OpenAI()
item = {"type": "message", "role": "user", "content": "Remember the number 391."}
conversation = client.conversations.create(items=[item], metadata={"topic": "numbers"})
response = client.responses.create(
    model="kimi-k2-thinking", input="Which number is it?", conversation=conversation.id
)
print(response.output_text)

client.conversations.items.create(conversation.id, items=[item])
for said in client.conversations.items.list(conversation.id, order="asc"):
    print(said.id, client.conversations.items.retrieve(said.id, conversation_id=conversation.id).type)
client.conversations.items.delete(said.id, conversation_id=conversation.id)

client.conversations.update(conversation.id, metadata={"topic": "sums"})
print(client.conversations.retrieve(conversation.id).metadata)
client.conversations.delete(conversation.id)
