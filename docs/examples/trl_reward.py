"""P[love] of a running Plaudit as a reward function for TRL's trainers. Standard library only."""

import json
import os
import time
import urllib.error
import urllib.request

SERVER = os.environ.get("PLAUDIT_SERVER", "http://127.0.0.1:8080")
KEY = os.environ.get("PLAUDIT_API_KEY")
OBJECTIVE = os.environ.get("PLAUDIT_OBJECTIVE", "love")
MAX_ROWS = 4096
TRIES = 30


def plaudit_reward(prompts, completions, **kwargs):
    """One probability per completion, or None where nothing has been learned about the objective."""
    rows = [_row(prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]
    rewards = []
    for start in range(0, len(rows), MAX_ROWS):
        answer = _post({"rows": rows[start : start + MAX_ROWS], "objectives": [OBJECTIVE]})
        scores = [row[OBJECTIVE] for row in answer["rows"]]
        rewards.extend(score["p"] if score else None for score in scores)
    return rewards


def plaudit_principle(principle, blame=False):
    """A reward function for one principle in words: the probability that it holds, or that it does not, for `blame`."""

    def reward(prompts, completions, **kwargs):
        rows = [_row(prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]
        rewards = []
        for start in range(0, len(rows), MAX_ROWS):
            answer = _post({"rows": rows[start : start + MAX_ROWS], "principles": [principle]})
            # Null while no reason has been learned.
            rewards.extend(scores and scores[0]["p"] for scores in answer["principles"])
        return [p if p is None or not blame else 1.0 - p for p in rewards]

    reward.__name__ = "plaudit_" + "_".join(principle.split())
    return reward


def plaudit_spans(prompts, completions):
    """Per completion its sentences, each with `start` and `end` in characters and its `score`: a dense reward."""
    rows = [_row(prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]
    spans = []
    for start in range(0, len(rows), MAX_ROWS):
        spans.extend(_post({"rows": rows[start : start + MAX_ROWS], "spans": True})["spans"])
    return spans


def _row(prompt, completion):
    if not isinstance(completion, str):  # Conversations come as lists of messages.
        completion = "\n".join(message["content"] for message in completion)
    if isinstance(prompt, str):
        return {"prompt": prompt, "response": completion}
    messages = [{"role": message["role"], "content": message["content"]} for message in prompt]
    return {"messages": messages, "response": completion}


def _post(body):
    headers = {"content-type": "application/json"}
    if KEY:
        headers["authorization"] = "Bearer " + KEY
    request = urllib.request.Request(SERVER + "/v1/score", json.dumps(body).encode(), headers)
    for attempt in range(TRIES):
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            # Busy, or no reward model yet: the server says when to ask again.
            if error.code not in (429, 503) or attempt == TRIES - 1:
                raise RuntimeError(f"{SERVER} answered {error.code}: {error.read().decode()}") from error
            time.sleep(float(error.headers.get("retry-after", "1")))


# With TRL: GRPOTrainer(model=..., reward_funcs=plaudit_reward, train_dataset=...)
