"""What `umbel plugin build` puts between the host and app.py.

It hands what the plugin prints and raises to the gateway's log, and checks what it returns, because the interpreter
would end such a call without a word.
"""

import _imp
import builtins
import enum
import json
import sys

import wit_world.exports as protocols
from componentize_py_types import Err
from wit_world.imports import log

# The protocols that the world exports: name of the class, such as Resolver, and what it must have.
PROTOCOLS = {
    name: protocol
    for name, protocol in vars(protocols).items()
    if isinstance(protocol, type) and getattr(protocol, "_is_protocol", False) and name != "Protocol"
}

# Lines of each file of the plugin.
SOURCES = {}
FRAMES_MAX = 12

# The types of what each function returns and raises, as the interfaces name them.
TYPES = {
    "".join(word.capitalize() for word in name.split("-")): {
        function.replace("-", "_"): types for function, types in functions.items()
    }
    for name, functions in json.loads(r'''__EXPORTS__''').items()
}


def functions(protocol):
    return [name for name, value in vars(protocol).items() if callable(value) and not name.startswith("_")]


def load():
    """The classes of app.py, each checked against its protocol. Mistakes end the build."""
    import app

    classes = {}
    for name, protocol in PROTOCOLS.items():
        given = getattr(app, name, None)
        if not isinstance(given, type):
            present = [key for key, value in vars(app).items() if isinstance(value, type) and value.__module__ == "app"]
            raise TypeError(
                f"app.py has no class {name}, which the world exports; write `class {name}(exports.{name})`. "
                f"It has: {', '.join(present) or 'no class'}"
            )
        for function in functions(protocol):
            method = getattr(given, function, None)
            if not callable(method) or method is getattr(protocol, function):
                raise TypeError(f"class {name} of app.py has no method {function}, which the world exports")
        classes[name] = given
    keep_source(app.__file__.rpartition("/")[0])
    return classes


class LogLines:
    """A text stream whose lines go to the gateway's log."""

    encoding = "utf-8"
    errors = "backslashreplace"
    closed = False

    def __init__(self, level):
        self.level = level
        self.rest = ""

    def write(self, text):
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self.show(line)
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def end(self):
        """The last line of a call may have no end."""
        line, self.rest = self.rest, ""
        self.show(line)

    def show(self, line):
        if line:
            # The interface cannot carry half of a surrogate pair.
            log.write(self.level, line.encode("utf-8", "backslashreplace").decode("utf-8"), [])

    def flush(self):
        pass

    def isatty(self):
        return False

    def readable(self):
        return False

    def writable(self):
        return True


def report(error):
    """The traceback, one line of it in one line of the log; the exception itself comes last."""
    for line in described(error):
        log.write(log.Level.ERROR, line.encode("utf-8", "backslashreplace").decode("utf-8"), [])


def described(error, depth=0):
    """The lines of a traceback. The module traceback would look for files and import what was not loaded yet."""
    lines = []
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and depth < 3:
        lines += described(before, depth + 1)
        link = "was the direct cause of" if error.__cause__ else "was being handled during"
        lines.append(f"The above exception {link} the following exception:")
    frames, traced = [], error.__traceback__
    while traced is not None:
        if traced.tb_frame.f_code.co_filename != __file__:
            frames.append((traced.tb_frame.f_code, traced.tb_lineno))
        traced = traced.tb_next
    if frames:
        lines.append("Traceback (most recent call last):")
    for code, number in frames[-FRAMES_MAX:]:
        lines.append(f'  File "{code.co_filename}", line {number}, in {code.co_name}')
        source = SOURCES.get(code.co_filename, [])
        if 0 < number <= len(source):
            lines.append(f"    {source[number - 1].strip()}")
    lines.append(title(error))
    return lines


def title(error):
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ in ("builtins", "app") else f"{kind.__module__}.{kind.__qualname__}"
    try:
        text = str(error)
    except Exception:
        text = "<its text cannot be had>"
    return f"{name}: {text}" if text else name


RANGES = {
    **{f"u{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    **{f"s{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
}
PLAIN = {"string": (str, "a str"), "char": (str, "a str"), "bool": (bool, "a bool"), "f32": ((int, float), "a float")}
PLAIN["f64"] = PLAIN["f32"]


def mismatch(kind, value, place):
    """Why a value does not have the type that the interface names, or None."""

    def wrong(expected):
        return f"{place} is {shown(value)}; expected {expected}"

    if isinstance(kind, str) and kind in RANGES:
        low, high = RANGES[kind]
        # A bool is an int to Python and not to the interface.
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if fits else wrong(f"an int from {low} to {high}")
    if isinstance(kind, str):
        types, expected = PLAIN.get(kind, (object, ""))
        return None if isinstance(value, types) else wrong(expected)
    if kind is None:
        return None
    ((form, inner),) = kind.items()
    if form == "option":
        return None if value is None else mismatch(inner, value, place)
    if form == "list" and inner == "u8":
        return None if isinstance(value, (bytes, bytearray, list)) else wrong("bytes")
    if form == "list":
        if not isinstance(value, list):
            return wrong("a list")
        return first(mismatch(inner, one, f"{place}[{index}]") for index, one in enumerate(value))
    if form == "tuple":
        if not isinstance(value, tuple) or len(value) != len(inner):
            return wrong(f"a tuple of {len(inner)}")
        return first(mismatch(one, value[index], f"{place}[{index}]") for index, one in enumerate(inner))
    if form == "record":
        fields = {name.replace("-", "_"): field for name, field in inner.items()}
        if not all(hasattr(value, name) for name in fields):
            return wrong(f"an object with {', '.join(fields)}")
        return first(mismatch(field, getattr(value, name), f"{place}.{name}") for name, field in fields.items())
    # A case of a variant is a class, one of an enum a member: Fault_NotFound, State.UP.
    cases = {case.replace("-", "").lower(): case for case in inner}
    if form == "enum":
        name = getattr(value, "name", "")
        known = isinstance(value, enum.Enum) and name.replace("_", "").lower() in cases
        return None if known else wrong(f"one of {', '.join(inner)}")
    case = cases.get(type(value).__name__.rpartition("_")[2].lower())
    if case is None:
        return wrong(f"one of {', '.join(inner)}")
    return mismatch(inner[case], getattr(value, "value", None), f"{place}.value")


def first(reasons):
    return next((reason for reason in reasons if reason is not None), None)


def shown(value):
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) < 80 else text[:77] + '...'}"


class LateImports:
    """Explains an import that comes too late, where the interpreter would look for files and end the call."""

    def find_spec(self, name, path=None, target=None):
        if name in sys.builtin_module_names or _imp.is_frozen(name):
            return None
        raise ModuleNotFoundError(
            f"{name} was not imported while the component was built; import it at the top level of app.py", name=name
        )


def no_files(*arguments, **options):
    raise PermissionError("a plugin has no files: read them at the top level of app.py, while it is built")


def keep_source(plugin):
    """Keeps the source of the plugin for tracebacks: when it runs there are no files."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and file.startswith(f"{plugin}/") and file.endswith(".py"):
            with open(file, encoding="utf-8", errors="replace") as source:
                SOURCES[file] = source.read().splitlines()


def start():
    """The first call redirects the streams: before it, while the component is built, there is no log."""
    if not isinstance(sys.stdout, LogLines):
        sys.stdout, sys.stderr = LogLines(log.Level.INFO), LogLines(log.Level.WARN)
        sys.meta_path.insert(0, LateImports())
        builtins.open = no_files
        # The interpreter would print the exception once more.
        sys.excepthook = lambda *error: None


def end_lines():
    sys.stdout.end()
    sys.stderr.end()


def guarded(given, function, types):
    name = f"{given.__name__}.{function}"

    def call(self, *arguments):
        start()
        try:
            answer = getattr(given, function)(self.plugin, *arguments)
            reason = mismatch(types["result"], answer, "answer")
            if reason is not None:
                raise TypeError(f"{name}: {reason}")
            return answer
        except BaseException as error:
            end_lines()
            # A fault that the interface knows is an answer, not a mistake.
            reason = mismatch(types["fault"], error.value, "raised") if is_fault(error, types) else None
            if not is_fault(error, types):
                report(error)
            elif reason is not None:
                log.write(log.Level.ERROR, f"{name}: {reason}", [])
            raise
        finally:
            end_lines()

    return call


def is_fault(error, types):
    return isinstance(error, Err) and "fault" in types


def exported(name, given):
    def __init__(self):
        self.plugin = given()

    body = {"__init__": __init__}
    for function in functions(PROTOCOLS[name]):
        body[function] = guarded(given, function, TYPES[name][function])
    return type(name, (), body)


globals().update({name: exported(name, given) for name, given in load().items()})
