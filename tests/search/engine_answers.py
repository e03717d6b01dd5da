"""What the search engines answer, in the shapes of their documentation, shortened."""

from typing import Any

ANSWERS: dict[str, Any] = {
    "searxng": {
        "query": "tea",
        "number_of_results": 0,
        "results": [
            {
                "url": "https://tea.example/green",
                "title": "Green tea",
                "content": "Green tea is not oxidised.",
                "engine": "duckduckgo",
                "publishedDate": "2025-04-01T00:00:00",
                "category": "general",
            }
        ],
        "suggestions": [],
        "unresponsive_engines": [],
    },
    "brave": {
        "type": "search",
        "query": {"original": "tea"},
        "web": {
            "type": "search",
            "results": [
                {
                    "title": "Green tea",
                    "url": "https://tea.example/green",
                    "description": "Green tea is not oxidised.",
                    "page_age": "2025-04-01T00:00:00",
                    "extra_snippets": ["It grows in China."],
                    "meta_url": {"hostname": "tea.example"},
                }
            ],
        },
    },
    "tavily": {
        "query": "tea",
        "answer": None,
        "images": [],
        "results": [
            {
                "title": "Green tea",
                "url": "https://tea.example/green",
                "content": "Green tea is not oxidised.",
                "score": 0.98,
                "raw_content": None,
                "published_date": "2025-04-01",
            }
        ],
        "response_time": 1.09,
    },
    "serper": {
        "searchParameters": {"q": "tea", "type": "search"},
        "organic": [
            {
                "title": "Green tea",
                "link": "https://tea.example/green",
                "snippet": "Green tea is not oxidised.",
                "date": "2025-04-01",
                "position": 1,
            }
        ],
        "credits": 1,
    },
    "exa": {
        "requestId": "b5947044c4b78efa9552a7c89b306d95",
        "results": [
            {
                "id": "https://tea.example/green",
                "title": "Green tea",
                "url": "https://tea.example/green",
                "publishedDate": "2025-04-01T00:00:00.000Z",
                "author": None,
                "text": "Green tea is not oxidised.",
            }
        ],
        "costDollars": {"total": 0.005},
    },
}
# What each must have been asked: the path, where the key is, and what says the query and the site.
ASKED: dict[str, dict[str, Any]] = {
    "searxng": {"path": "/search", "query": {"q": "tea site:tea.example", "format": "json"}},
    "brave": {
        "path": "/res/v1/web/search",
        "query": {"q": "tea site:tea.example", "count": "3", "text_decorations": "false"},
        "key": ("x-subscription-token", "k-1"),
    },
    "tavily": {
        "path": "/search",
        "body": {"query": "tea", "max_results": 3, "include_domains": ["tea.example"]},
        "key": ("authorization", "Bearer k-1"),
    },
    "serper": {
        "path": "/search",
        "body": {"q": "tea site:tea.example", "num": 3},
        "key": ("x-api-key", "k-1"),
    },
    "exa": {
        "path": "/search",
        "body": {
            "query": "tea",
            "numResults": 3,
            "contents": {"text": {"maxCharacters": 2000}},
            "includeDomains": ["tea.example"],
        },
        "key": ("x-api-key", "k-1"),
    },
}
