"""A server on loopback that speaks the OpenAI protocol, as well or as badly as a test wants."""

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def chat(text, **more):
    message = {"role": "assistant", "content": text, **more.pop("message", {})}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop", **more}]}


def completion(text, **more):
    return {"choices": [{"index": 0, "text": text, "finish_reason": "stop", **more}]}


class Reply:
    """What goes back: an object as JSON, or bytes as they are."""

    def __init__(self, body=b"", status=200, kind="application/json", cut=None, **headers):
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status, self.kind, self.cut = status, kind, cut
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class _Listening(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


class Server:
    """Answers with ``answer(number, path, body)``, counted from 0; notes what was asked, and how many at a time."""

    def __init__(self, answer, models=("m",), slow=0.0):
        self.answer, self.models, self.slow = answer, models, slow
        self.asked, self.headers, self.times = [], [], []
        self.now = self.most = self.connections = 0
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                server.connections += 1

            def log_message(self, *_):
                pass

            def do_GET(self):
                if server.models is None:
                    return self.reply(Reply({"error": {"message": "Not Found"}}, 404))
                data = [{"id": name, "object": "model"} for name in server.models]
                return self.reply(Reply({"object": "list", "data": data}))

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server.lock:
                    number = len(server.asked)
                    server.asked.append(body)
                    server.headers.append(dict(self.headers))
                    server.times.append(time.monotonic())
                    server.now += 1
                    server.most = max(server.most, server.now)
                try:
                    time.sleep(server.slow)
                    found = server.answer(number, self.path, body)
                    self.reply(found if isinstance(found, Reply) else Reply(found))
                finally:
                    with server.lock:
                        server.now -= 1

            def reply(self, reply):
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.kind)
                self.send_header("Content-Length", str(len(reply.body)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    if reply.cut is not None:
                        self.wfile.write(reply.body[: reply.cut])
                        self.close_connection = True
                        return
                    self.wfile.write(reply.body)

        self.http = _Listening(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
