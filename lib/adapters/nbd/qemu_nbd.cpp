// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/qemu_nbd.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "adapters/nbd/qemu_img.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;

base::UniqueFd unix_socket() {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw base::from_errno(errno, "make a socket");
  return base::UniqueFd(fd);
}

struct PrivateDir {
  std::string path = (fs::temp_directory_path() / "umbra-nbd-XXXXXX").string();
  PrivateDir() {
    if (::mkdtemp(path.data()) == nullptr) throw base::from_errno(errno, fmt::format("make a folder {}", path));
  }
  ~PrivateDir() { ::rmdir(path.c_str()); }
  PrivateDir(const PrivateDir&) = delete;
  PrivateDir& operator=(const PrivateDir&) = delete;
};

/// A listening socket with one connection already waiting in it. Its name is gone when this returns.
std::pair<base::UniqueFd, base::UniqueFd> listener_and_client() {
  const PrivateDir dir;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = dir.path + "/s";
  if (name.size() >= sizeof address.sun_path)
    throw Error(Kind::usage, fmt::format("the path of {} is too long for a socket", name),
                "set TMPDIR to a shorter path");
  std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
  const auto* raw = reinterpret_cast<const sockaddr*>(&address);
  base::UniqueFd listener = unix_socket();
  base::UniqueFd client = unix_socket();
  if (::bind(listener.get(), raw, sizeof address) != 0) throw base::from_errno(errno, fmt::format("bind {}", name));
  const bool connected = ::listen(listener.get(), 1) == 0 && ::connect(client.get(), raw, sizeof address) == 0;
  const int error = errno;
  ::unlink(name.c_str());
  if (!connected) throw base::from_errno(error, fmt::format("connect {}", name));
  return {std::move(listener), std::move(client)};
}

base::Argv command(const ServeOptions& options) {
  base::Argv argv{"qemu-nbd", "--shared=1", "--format=" + options.format};
  // Reading alone shares the file with a QEMU that has it as a backing file: no forced sharing is needed.
  if (options.read_only) argv.emplace_back("--read-only");
  if (options.bitmap) argv.push_back("--bitmap=" + *options.bitmap);
  if (options.allocation_depth) argv.emplace_back("--allocation-depth");
  if (!options.description.empty()) argv.push_back("--description=" + options.description);
  argv.push_back(options.path.string());
  return argv;
}

}  // namespace

QemuNbd::QemuNbd(const ServeOptions& options) : m_path(options.path), m_stderr(make_capture()) {
  auto [listener, client] = listener_and_client();
  m_socket = std::move(client);
  m_process =
      Process(command(options), {.in = -1, .out = m_stderr.get(), .err = m_stderr.get(), .listener = listener.get()});
}

void QemuNbd::connect(Connection& connection) {
  try {
    connection.connect_socket(take_socket());
  } catch (const Error& e) {
    throw failure(e.message());
  }
}

bool QemuNbd::ended_within(base::Millis deadline) {
  return m_process.wait_for(deadline) >= 0;
}

void QemuNbd::finish() {
  const int status = m_process.wait_for(base::Millis{60'000});
  if (status < 0)
    throw Error(Kind::timeout, fmt::format("qemu-nbd did not end after its client left {}", m_path.string()));
  if (status != 0) throw failure(fmt::format("it ended with status {}", status));
}

Error QemuNbd::failure(const std::string& fallback) {
  m_process.wait_for(base::Millis{2000});
  std::string words = captured(m_stderr, 64u << 10);
  words = words.substr(0, words.find('\n'));
  const std::string message = fmt::format("serve {}: {}", m_path.string(), words.empty() ? fallback : words);
  if (!fs::exists(m_path)) return {Kind::not_found, message};
  if (auto in_the_way = qemu_img::obstacle(m_path, message)) return std::move(*in_the_way);
  return {Kind::io, message};
}

}  // namespace umbra::nbd
