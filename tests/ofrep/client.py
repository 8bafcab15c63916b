"""The official provider for Python against the server at the first argument; prints what ./run compares."""
import sys

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode

api.set_provider(OFREPProvider(sys.argv[1]))
client = api.get_client()


def of(user):
    return EvaluationContext(targeting_key=user, attributes={"plan": "pro"})


for user in [f"user-{number}" for number in range(60)] + ["tester"]:
    found = client.get_string_details("tone", "none", of(user))
    print(user, found.value, found.variant)
missing = client.get_string_details("nothing", "none", of("user-1"))
print("missing", str(missing.error_code == ErrorCode.FLAG_NOT_FOUND).lower())
typed = client.get_boolean_details("tone", False, of("user-1"))
print("typed", str(typed.error_code is not None).lower())
nobody = client.get_string_details("tone", "none", EvaluationContext())
print("nobody", str(nobody.error_code is not None).lower())
