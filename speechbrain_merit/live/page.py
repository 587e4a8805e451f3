"""The page at ``/docs``: the service's OpenAPI description for people, and a form to try it.

FastAPI's own pages load their scripts and fonts from elsewhere; this one asks nobody.
"""

import json

from jinja2 import Environment

TEMPLATE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ api.info.title }} {{ api.info.version }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: 14px; }
pre { background: #f3f3f3; padding: .75rem; overflow-x: auto; }
h2 { margin-top: 2.5rem; } td { padding: .1rem 1rem .1rem 0; vertical-align: top; }
form { border: 1px solid #bbb; padding: 1rem; }
</style></head><body>
<h1>{{ api.info.title }} {{ api.info.version }}</h1>
<p>{{ api.info.description }} The whole description for programs:
<a href="openapi.json">openapi.json</a>.</p>
<form action="analyse" method="post" enctype="multipart/form-data">
<label>Recordings <input type="file" name="file" multiple required></label>
<label>Channels <select name="channels">
<option>mix<option>separate</select></label>
<button>Analyse</button></form>
{% for path, methods in api.paths.items() %}{% for method, operation in methods.items() %}
<h2><code>{{ method | upper }} {{ path }}</code></h2>
<p>{{ operation.description }}</p>
{% if path == "/analyse" %}
<pre>curl -F file=@call.wav -F file=@talk.flac ADDRESS/analyse
curl -F file=@call.wav -F channels=separate ADDRESS/analyse</pre>
{% endif %}<table>
{% for status, answer in operation.responses.items() %}
<tr><td>{{ status }}</td><td>{{ answer.description }}</td></tr>
{% endfor %}</table>
{% endfor %}{% endfor %}
<h2><code>WebSocket /stream</code></h2>
<pre>{{ stream }}</pre>
<h2>Answers</h2>
{% for name, schema in api.components.schemas.items() %}
<h3><code>{{ name }}</code></h3><pre>{{ dumps(schema.get("properties", {})) }}</pre>
{% endfor %}
</body></html>
"""


def page(api, stream=""):
    """HTML of an OpenAPI description.

    Arguments
    ---------
    api : dict
        The description.
    stream : str
        What there is to know of the websocket, which OpenAPI has no words for.

    Example
    -------
    >>> api = {"info": {"title": "T", "version": "1"}, "paths": {}, "components": {"schemas": {}}}
    >>> "<h1>T 1</h1>" in page(api), "http" in page(api)
    (True, False)
    """
    environment = Environment(autoescape=True)
    return environment.from_string(TEMPLATE).render(
        api=api, stream=stream, dumps=lambda value: json.dumps(value, indent=1, ensure_ascii=False)
    )
