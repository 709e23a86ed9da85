"""A client that goes on asking for completions while a rollout changes, and what it got."""
import json
import time
import urllib.request

from scenario import Beside, DIRECT, Failed

PERIOD = 0.2
# The last answer before the first Stop may be so old: a period, and a completion on a busy machine.
LAST_ANSWER = 3


class Client(Beside):
    """Asks every 200 ms the server that serves now, for as long as the context lasts."""

    def __init__(self, fleet):
        super().__init__()
        rollout = fleet.rollout()
        self.url = f"{rollout['endpoint']}/v1/chat/completions"
        self.body = json.dumps({"model": rollout["servedModelName"], "max_tokens": 4, "messages": [{"role": "user", "content": "你是谁"}]}).encode()
        self.answers = []  # (asked at, answered at, why not)

    def run(self):
        while not self.ended.is_set():
            asked = time.time()
            self.answers.append((asked, *self.ask()))
            self.ended.wait(max(0.0, asked + PERIOD - time.time()))

    def ask(self):
        try:
            request = urllib.request.Request(self.url, self.body, {"Content-Type": "application/json"})
            with DIRECT.open(request, timeout=20) as answer:
                tokens = json.load(answer)["usage"]["completion_tokens"]
            return time.time(), "" if tokens > 0 else "no token"
        except (OSError, ValueError, KeyError) as error:
            return time.time(), str(error)

    def served_until(self, stop, began):
        """Every completion asked before the first Stop was answered, or was under way when it came. How many were since `began`."""
        failed = [(ended, why) for _, ended, why in self.answers if why and ended < stop]
        answered = [ended for _, ended, why in self.answers if not why and ended < stop]
        if failed:
            raise Failed(f"a completion failed {stop - failed[0][0]:.2f} s before the first Stop: {failed[0][1]}")
        if not answered or stop - answered[-1] > LAST_ANSWER:
            raise Failed(f"the last answer before the first Stop is {stop - answered[-1]:.1f} s old" if answered else "no completion before the first Stop")
        return sum(ended >= began for ended in answered)
