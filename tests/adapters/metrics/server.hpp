// SPDX-License-Identifier: Apache-2.0
#pragma once
// A real HTTP server on loopback for the tests: a python3 child that answers by path. It dies with this object.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>

#include "base/process.hpp"

namespace umbra::metrics::test {

/// `answers` is a Python function body with `self` (http.server's handler), `path` and `query` (a dict of lists); it
/// returns (status, text).
class Server {
 public:
  explicit Server(const std::string& answers) : Server(answers, {}, {}) {}
  /// With TLS, by the certificate and key of those files.
  Server(const std::string& answers, const std::string& cert, const std::string& key)
      : m_scheme(cert.empty() ? "http" : "https") {
    if (base::run({"python3", "--version"}, "", base::Millis(10000)).status != 0) {
      std::fputs("SKIPPED: python3 is not installed\n", stderr);
      std::exit(77);
    }
    m_child = base::spawn({"python3", "-c", script(answers), cert, key}, false, true);
    std::string line;
    for (std::byte c; base::read_full(m_child.from_child.get(), std::span(&c, 1), "the server's port") == 1;) {
      if (c == std::byte{'\n'}) break;
      line += static_cast<char>(c);
    }
    m_port = line;
  }
  std::string url() const { return m_scheme + "://127.0.0.1:" + m_port; }

 private:
  static std::string script(const std::string& answers) {
    std::string body;
    for (std::size_t begin = 0; begin < answers.size();) {
      const std::size_t end = std::min(answers.find('\n', begin), answers.size());
      body += "    " + answers.substr(begin, end - begin) + "\n";
      begin = end + 1;
    }
    return "import http.server, json, ssl, sys, time, urllib.error, urllib.parse, urllib.request\n"
           "def answer(self, path, query):\n" +
           body +
           "class Handler(http.server.BaseHTTPRequestHandler):\n"
           "    def do_GET(self):\n"
           "        url = urllib.parse.urlparse(self.path)\n"
           "        status, text = answer(self, url.path, urllib.parse.parse_qs(url.query))\n"
           "        self.send_response(status)\n"
           "        self.end_headers()\n"
           "        try: self.wfile.write(text.encode())\n"
           "        except OSError: pass\n"
           "    def log_message(self, *arguments): pass\n"
           "server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)\n"
           "if sys.argv[1]:\n"
           "    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
           "    context.load_cert_chain(sys.argv[1], sys.argv[2])\n"
           "    server.socket = context.wrap_socket(server.socket, server_side=True)\n"
           "print(server.server_address[1], flush=True)\n"
           "server.serve_forever()\n";
  }

  std::string m_scheme;
  base::Child m_child;
  std::string m_port;
};

}  // namespace umbra::metrics::test
