"""What the pictures show: a question, thinking and answer in each language, turns in every state."""

WORDS = {
    "en": {
        "question": "A 2023 paper says 30 % tree cover would have prevented 40 % of urban-heat deaths. "
        "How solid is that?",
        "thought": "The claim has two parts: a percentage and a counterfactual.\n\n**Denominator.** The "
        "abstract counts deaths attributed to the heat island, 6,700 in summer 2015, not all heat deaths.",
        "answer": """\
The arithmetic is sound; the size of the cooling is the weak link. The paper estimates **2,644 of 6,700
deaths** avoided in 93 cities.

## How it is calculated

For each city $c$, baseline deaths are scaled by the share of mortality removed:

$$
D_c = m_c \\, P_c \\left(1 - e^{-\\beta_c \\, \\Delta T_c}\\right)
$$

| City | Tree cover | Cooling | Deaths avoided |
|---|--:|--:|--:|
| Barcelona | 8.4 % | 1.0 °C | 212 |
| Copenhagen | 15.8 % | 0.3 °C | 9 |

- **Surface is not air.** Trees cool surfaces by 8 to 12 K.
- **One summer.** 2015 was warm but not extreme.

```python
import numpy as np

def avoided(deaths, beta, cooling):  # by city
    return deaths * (1 - np.exp(-beta * cooling))

print(f"{avoided(212, 0.1, 0.8):,.0f}")
```

My rebuild is within 0.5 % of the figure. See [the paper](https://example.com/paper).""",
    },
    "zh": {
        "question": "2023 年的一篇论文说，30 % 的树冠覆盖率本可避免 40 % 的城市高温死亡。这个结论有多可靠？",
        "thought": "这个说法有两部分：一个百分比和一个反事实。\n\n"
        "**分母。**摘要统计的是归因于热岛效应的死亡，2015 年夏季为 6,700 例，而不是所有高温死亡。",
        "answer": """\
计算本身站得住脚；降温幅度是最薄弱的一环。论文估计 93 个城市可避免 **6,700 例死亡中的 2,644 例**。

## 如何计算

对每个城市 $c$，按减少的死亡比例缩放基线死亡数：

$$
D_c = m_c \\, P_c \\left(1 - e^{-\\beta_c \\, \\Delta T_c}\\right)
$$

| 城市 | 树冠覆盖率 | 降温 | 避免的死亡 |
|---|--:|--:|--:|
| 巴塞罗那 | 8.4 % | 1.0 °C | 212 |
| 哥本哈根 | 15.8 % | 0.3 °C | 9 |

- **地表不等于空气。**树木使地表降温 8 到 12 K，气温的变化要小得多。
- **只有一个夏天。**2015 年偏热，但并不极端。

```python
import numpy as np

def avoided(deaths, beta, cooling):  # 按城市
    return deaths * (1 - np.exp(-beta * cooling))

print(f"{avoided(212, 0.1, 0.8):,.0f}")
```

我的重算结果与论文相差不到 0.5 %。见[论文](https://example.com/paper)。""",
    },
}
SCENES = """
import json
from agents.tooling import policy
from chat import workspaces
from tests.pages import scenes
from webapp.accounts.models import User

person = User.objects.get(username="{name}")
turns = dict(
    approval=scenes.waiting(person, "approval", prompt=policy.AFTER_OUTSIDE_TEXT),
    outcome=scenes.waiting(person, "outcome", name="send_mail"),
    question=scenes.question(person),
    plan=scenes.proposed_plan(person),
    trace=scenes.noted(person),
    heavy=scenes.heavy(person),
    limit=scenes.long(person, num_steps=300),
    cited=scenes.cited(person),
)
beside = turns["cited"].conversation
workspaces.put(beside, "site/app.js", b"start();")
workspaces.put(beside, "site/index.html", b"<h1>Seen</h1><script>nothing.here()</script>")
print(json.dumps({{state: str(turn.conversation_id) for state, turn in turns.items()}}))
"""
OFFICE = """
from datetime import timedelta
from inference.schema import Usage
from webapp.accounts import teams
from webapp.accounts.models import User
from webapp.billing import holds
from webapp.catalog.models import ServedModel

MINUTE = timedelta(minutes=1)
person = User.objects.get(username="{name}")
person.is_staff = person.is_superuser = True
person.save()
model = ServedModel.objects.get(name="scripted")
for number, source in enumerate(("api", "chat", "chat")):
    hold = holds.place(person, model=model, max_input_tokens=9_000, max_output_tokens=9_000, ttl=MINUTE)
    usage = Usage(
        input_uncached_tokens=1_000 * number, input_cached_tokens=500, output_tokens=2_000, reasoning_tokens=9
    )
    holds.settle(hold.id, usage=usage, source=source, reference=f"shown-{{number}}", finish_reason="stop")
team = teams.create(person, name="Urban climate")
teams.create_project(person, team, name="Heat and trees")
print(team.pk)
"""
