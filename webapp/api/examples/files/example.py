"""A file sent and read."""

from openai import OpenAI

client = OpenAI()
file = client.files.create(file=("facts.txt", b"Paris is the capital of France."), purpose="file-extract")
print(client.files.retrieve(file.id).bytes)
print(client.files.content(file.id).json()["content"])
for listed in client.files.list(purpose="file-extract"):
    print(listed.id, listed.filename)
client.files.delete(file.id)
