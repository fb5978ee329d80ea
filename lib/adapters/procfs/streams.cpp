// SPDX-License-Identifier: Apache-2.0
#include "adapters/procfs/streams.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/error.hpp"

namespace umbra::procfs {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;

template <class Number>
std::optional<Number> number_in(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// The words of a process's command line; none where it is gone.
std::vector<std::string> words_of(const fs::path& process) {
  std::string line;
  try {
    line = base::read_text_file(process / "cmdline");
  } catch (const Error&) {
    return {};
  }
  std::vector<std::string> words;
  for (std::size_t at = 0; at < line.size();) {
    const std::size_t end = std::min(line.find('\0', at), line.size());
    words.push_back(line.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

bool is_qemu_of(const std::vector<std::string>& words, const model::Uuid& vm) {
  if (words.empty() || words.front().find("qemu") == std::string::npos) return false;
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == "-uuid" && words[i + 1] == vm.get()) return true;
  }
  return false;
}

bool same_network(const fs::path& process) {
  struct stat theirs {};
  struct stat own {};
  return ::stat((process / "ns/net").c_str(), &theirs) == 0 && ::stat("/proc/self/ns/net", &own) == 0 &&
         theirs.st_ino == own.st_ino && theirs.st_dev == own.st_dev;
}

/// The inode in "socket:[4711]".
std::optional<std::uint64_t> socket_inode(const fs::path& link) {
  std::error_code gone;
  std::string target = fs::read_symlink(link, gone).string();
  constexpr std::string_view before = "socket:[";
  if (gone || !target.starts_with(before) || target.back() != ']') return std::nullopt;
  target.pop_back();
  return number_in<std::uint64_t>(std::string_view(target).substr(before.size()));
}

template <class Value>
bool ask(int fd, int level, int what, Value& value) {
  socklen_t size = sizeof value;
  return ::getsockopt(fd, level, what, &value, &size) == 0;
}

bool is_tcp(int fd) {
  int protocol = 0;
  return ask(fd, SOL_SOCKET, SO_PROTOCOL, protocol) && protocol == IPPROTO_TCP;
}

bool is_in_state(int fd, unsigned state) {
  tcp_info info{};
  return ask(fd, IPPROTO_TCP, TCP_INFO, info) && info.tcpi_state == state;
}
constexpr unsigned connected = 1;   // TCP_ESTABLISHED
constexpr unsigned connecting = 2;  // TCP_SYN_SENT
constexpr unsigned listening = 10;  // TCP_LISTEN

/// That on this side.
in_port_t port_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                       : reinterpret_cast<const sockaddr_in&>(address).sin_port;
}

}  // namespace

std::optional<pid_t> qemu_of(const model::Uuid& vm) {
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator("/proc", failed)) {
    const auto pid = number_in<pid_t>(entry.path().filename().string());
    if (pid && is_qemu_of(words_of(entry.path()), vm) && same_network(entry.path())) return pid;
  }
  return std::nullopt;
}

Streams::Streams(pid_t pid) : m_pid(pid), m_handle(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {
  if (!m_handle) throw base::from_errno(errno, fmt::format("open process {}", pid));
  // Looked at once, so that a missing right is told now and not when it is needed.
  const base::UniqueFd probe(static_cast<int>(::syscall(SYS_pidfd_getfd, m_handle.get(), 0, 0)));
  if (!probe && errno != EBADF)
    throw Error(Kind::refused,
                fmt::format("the connections of process {} can't be reached: {}", pid,
                            base::from_errno(errno, "pidfd_getfd").message()),
                "the far end must run as root, and the kernel be 5.6 or newer");
}

std::vector<Stream> Streams::begun() const {
  std::vector<Stream> streams;
  std::set<in_port_t> served;
  std::error_code gone;  // with the process, at any time
  for (fs::directory_iterator entry(fmt::format("/proc/{}/fd", m_pid), gone), end; !gone && entry != end;
       entry.increment(gone)) {
    const auto inode = socket_inode(entry->path());
    if (!inode) continue;
    const auto theirs = number_in<int>(entry->path().filename().string());
    Stream stream{*inode,
                  base::UniqueFd(static_cast<int>(::syscall(SYS_pidfd_getfd, m_handle.get(), theirs.value_or(-1), 0)))};
    if (!stream.socket || !is_tcp(stream.socket.get())) continue;
    if (is_in_state(stream.socket.get(), listening)) served.insert(port_of(stream.socket.get()));
    streams.push_back(std::move(stream));
  }
  // What was accepted has the port that is listened on, as the listening socket itself.
  std::erase_if(streams, [&](const Stream& stream) { return served.contains(port_of(stream.socket.get())); });
  return streams;
}

bool Streams::is_migrating() const {
  std::error_code gone;  // with the process, at any time
  for (fs::directory_iterator task(fmt::format("/proc/{}/task", m_pid), gone), end; !gone && task != end;
       task.increment(gone)) {
    std::ifstream file(task->path() / "comm");
    std::string name;
    // As QEMU 7.2 and as its newer versions call it.
    if (std::getline(file, name) && (name == "live_migration" || name.starts_with("mig/src/"))) return true;
  }
  return false;
}

bool Streams::has_ended(base::Millis within) const {
  pollfd handle{m_handle.get(), POLLIN, 0};
  return ::poll(&handle, 1, static_cast<int>(within.count())) > 0;
}

bool is_connected(const Stream& stream) {
  return is_in_state(stream.socket.get(), connected);
}

bool is_connecting(const Stream& stream) {
  return is_in_state(stream.socket.get(), connecting);
}

bool is_stalled(const Stream& stream, base::Millis limit) {
  tcp_info info{};
  if (!ask(stream.socket.get(), IPPROTO_TCP, TCP_INFO, info)) return false;
  // A receiver that is merely slow answers each question for room, and the count goes back to 0.
  const bool waits = info.tcpi_unacked > 0 || info.tcpi_probes > 1;
  return waits && info.tcpi_backoff > 0 && base::Millis(info.tcpi_last_ack_recv) >= limit;
}

std::string peer_of(const Stream& stream) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (::getpeername(stream.socket.get(), generic, &size) != 0 ||
      ::getnameinfo(generic, size, host.data(), host.size(), port.data(), port.size(),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "an unknown address";
  return fmt::format("{}:{}", host.data(), port.data());
}

void cut(const Stream& stream) {
  ::shutdown(stream.socket.get(), SHUT_RDWR);  // fails only where the other end did the same just now
}

}  // namespace umbra::procfs
