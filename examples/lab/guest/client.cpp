// SPDX-License-Identifier: Apache-2.0
// What a client of the guest notices: one long TCP session, and writes that were acknowledged to it.
#include "guestd.hpp"
#include "net.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <thread>

using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

volatile std::sig_atomic_t g_stop = 0;  // set by a signal: end and report

struct Options {
  std::string address, until_file, log;
  double seconds = 0, rate = 0, interval_ms = 5;
  std::uint64_t count = 0;
  std::vector<std::string> others;
};

Options parse(const std::vector<std::string>& words) {
  Options options;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto value = [&]() -> const std::string& {
      if (++i == words.size()) throw std::runtime_error(words[i - 1] + " needs a value");
      return words[i];
    };
    if (words[i] == "--for")
      options.seconds = std::stod(value());
    else if (words[i] == "--until-file")
      options.until_file = value();
    else if (words[i] == "--interval-ms")
      options.interval_ms = std::max(0.1, std::stod(value()));
    else if (words[i] == "--count")
      options.count = std::stoull(value());
    else if (words[i] == "--rate")
      options.rate = std::stod(value());
    else if (words[i] == "--log")
      options.log = value();
    else if (words[i].starts_with("--"))
      throw std::runtime_error("unknown option " + words[i]);
    else if (options.address.empty())
      options.address = words[i];
    else
      options.others.push_back(words[i]);
  }
  if (options.address.empty()) throw std::runtime_error("which address?");
  return options;
}

// Until when the client goes on; without a limit, until a signal.
class Limit {
 public:
  explicit Limit(const Options& options) : m_options(options) {
    struct sigaction action {};
    action.sa_handler = [](int) { g_stop = 1; };
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
  }
  bool over() {
    m_over = m_over || look();
    return m_over;
  }
  double passed_s() const { return Seconds(Clock::now() - m_start).count(); }

 private:
  bool look() {
    if (g_stop != 0) return true;
    const auto now = Clock::now();
    if (m_options.seconds > 0 && Seconds(now - m_start).count() >= m_options.seconds) return true;
    if (m_options.until_file.empty() || now < m_look_again) return false;
    m_look_again = now + 20ms;
    return ::access(m_options.until_file.c_str(), F_OK) == 0;
  }
  const Options& m_options;
  bool m_over = false;
  Clock::time_point m_start = Clock::now(), m_look_again = m_start;
};

// The longest time between two answers, and when it began.
class Gaps {
 public:
  void answer() {
    close();
    ++m_count;
    m_last = Clock::now();
    m_last_wall = std::chrono::system_clock::now();
  }
  void close() {  // also at the end: an answer that never came is a gap
    const double gap_ms = Seconds(Clock::now() - m_last).count() * 1000;
    if (gap_ms <= m_biggest_ms) return;
    m_biggest_ms = gap_ms;
    m_at = m_last_wall;
  }
  std::uint64_t count() const { return m_count; }
  std::string json() const {
    std::ostringstream out;
    out << "\"count\":" << m_count << ",\"gap_ms\":" << static_cast<long>(m_biggest_ms * 10) / 10.0
        << ",\"gap_at\":" << quoted(wall_clock(m_at));
    return out.str();
  }

 private:
  std::uint64_t m_count = 0;
  double m_biggest_ms = 0;
  Clock::time_point m_last = Clock::now();
  std::chrono::system_clock::time_point m_last_wall = std::chrono::system_clock::now(), m_at = m_last_wall;
};

// One TCP connection that is opened again when it breaks, and remembers that it did.
class Session {
 public:
  Session(std::string address, std::uint16_t port) : m_address(std::move(address)), m_port(port) {
    std::string why;
    auto fd = connect_tcp(m_address, m_port, 5s, why);
    if (!fd) throw std::runtime_error(m_address + " port " + std::to_string(m_port) + ": " + why);
    m_fd = std::move(*fd);
  }
  int fd() const { return m_fd.get(); }
  bool open() const { return static_cast<bool>(m_fd); }
  bool broken() const { return m_breaks > 0; }
  void broke(const std::string& why) {
    if (m_breaks++ == 0) {
      m_reason = why;
      m_at = std::chrono::system_clock::now();
    }
    m_fd = Fd();
  }
  void try_again() {
    std::string why;
    if (auto fd = connect_tcp(m_address, m_port, 500ms, why))
      m_fd = std::move(*fd);
    else
      std::this_thread::sleep_for(50ms);
  }
  std::string json() const {
    std::string text = "\"broken\":" + std::string(broken() ? "true" : "false");
    if (broken())
      text += ",\"breaks\":" + std::to_string(m_breaks) + ",\"reason\":" + quoted(m_reason) +
              ",\"broken_at\":" + quoted(wall_clock(m_at));
    return text;
  }

 private:
  std::string m_address;
  std::uint16_t m_port;
  Fd m_fd;
  std::uint64_t m_breaks = 0;
  std::string m_reason;
  std::chrono::system_clock::time_point m_at;
};

// Takes what has come; empty optional: nothing more for now. Throws when the connection has ended.
std::optional<std::string> received(int fd) {
  char buffer[4096];
  const auto got = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (got > 0) return std::string(buffer, static_cast<std::size_t>(got));
  if (got == 0) throw std::runtime_error("closed by the guest");
  if (errno == EAGAIN || errno == EINTR) return std::nullopt;
  throw std::runtime_error(std::strerror(errno));
}

}  // namespace

// Two echo streams at once. TCP is what a service's clients feel: its retransmission timer doubles, so a short stop may
// look up to twice as long. UDP has no such memory and shows the stop itself.
int probe(const std::vector<std::string>& words) {
  const auto options = parse(words);
  const auto interval = std::chrono::duration_cast<Clock::duration>(Seconds(options.interval_ms / 1000));
  Session session(options.address, 7);
  const Fd udp = connect_udp(options.address, 7);
  Limit limit(options);
  Gaps tcp_gaps, udp_gaps;
  std::uint64_t sequence = 0, echoed = 0, udp_sent = 0, wrong = 0;
  std::string pending;
  auto due = Clock::now();
  while (!limit.over()) {
    if (session.open()) {
      if (::send(session.fd(), &sequence, sizeof sequence, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof sequence) ++sequence;
    } else {
      session.try_again();
      pending.clear();
      sequence = echoed = 0;
    }
    if (::send(udp.get(), &udp_sent, sizeof udp_sent, MSG_DONTWAIT) > 0) ++udp_sent;
    due = std::max(due + interval, Clock::now() - 50ms);
    while (!limit.over()) {
      const auto left = std::chrono::duration_cast<std::chrono::microseconds>(due - Clock::now());
      if (left.count() <= 0) break;
      pollfd both[] = {{udp.get(), POLLIN, 0}, {session.open() ? session.fd() : -1, POLLIN, 0}};
      const timespec wait{0, std::min<long>(left.count(), 100000) * 1000};
      if (::ppoll(both, 2, &wait, nullptr) <= 0) continue;
      char datagram[64];
      while (::recv(udp.get(), datagram, sizeof datagram, MSG_DONTWAIT) > 0) udp_gaps.answer();
      if (both[1].revents == 0) continue;
      try {
        while (const auto data = received(session.fd())) pending += *data;
      } catch (const std::exception& ended) {
        session.broke(ended.what());
      }
      std::size_t used = 0;
      for (; pending.size() - used >= sizeof echoed; used += sizeof echoed) {
        if (std::memcmp(pending.data() + used, &echoed, sizeof echoed) != 0) ++wrong;
        ++echoed;
        tcp_gaps.answer();
      }
      pending.erase(0, used);
    }
  }
  tcp_gaps.close();
  udp_gaps.close();
  std::printf("{\"address\":%s,\"seconds\":%.3f,%s,%s,\"wrong\":%llu,\"udp\":{%s,\"lost\":%llu}}\n",
              quoted(options.address).c_str(), limit.passed_s(), tcp_gaps.json().c_str(), session.json().c_str(),
              static_cast<unsigned long long>(wrong), udp_gaps.json().c_str(),
              static_cast<unsigned long long>(udp_sent - std::min(udp_sent, udp_gaps.count())));
  return session.broken() || wrong != 0 ? 1 : 0;
}

int writes(const std::vector<std::string>& words) {
  const auto options = parse(words);
  Fd log;
  if (!options.log.empty()) {
    log = Fd(::open(options.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    check_call(log.get(), options.log);
  }
  Session session(options.address, 9);
  Limit limit(options);
  Gaps gaps;
  std::uint64_t first = 0, last = 0;
  bool went_back = false;
  std::string pending, error;
  auto due = Clock::now();
  while (!limit.over() && error.empty() && (options.count == 0 || gaps.count() < options.count)) {
    if (!session.open()) {
      pending.clear();
      session.try_again();
      continue;
    }
    if (options.rate > 0) {
      due = std::max(due + std::chrono::duration_cast<Clock::duration>(Seconds(1 / options.rate)), Clock::now() - 50ms);
      std::this_thread::sleep_until(due);
    }
    try {
      if (::send(session.fd(), "\n", 1, MSG_NOSIGNAL) != 1) throw std::runtime_error(std::strerror(errno));
      while (pending.find('\n') == std::string::npos && !limit.over())
        if (wait_for(session.fd(), POLLIN, 50ms))
          if (const auto data = received(session.fd())) pending += *data;
    } catch (const std::exception& ended) {
      session.broke(ended.what());
      continue;
    }
    const auto end = pending.find('\n');
    if (end == std::string::npos) break;
    const std::string line = pending.substr(0, end + 1);
    pending.erase(0, end + 1);
    if (line.starts_with("error")) {
      error = line.substr(0, line.size() - 1);
      break;
    }
    const auto number = std::stoull(line);
    gaps.answer();
    if (first == 0) first = number;
    if (number <= last) went_back = true;  // an acknowledged write is gone
    last = number;
    if (log) check_call(::write(log.get(), line.data(), line.size()), options.log);
  }
  gaps.close();
  std::printf("{\"address\":%s,\"seconds\":%.3f,%s,%s,\"first\":%llu,\"last\":%llu,\"went_back\":%s,\"error\":%s}\n",
              quoted(options.address).c_str(), limit.passed_s(), gaps.json().c_str(), session.json().c_str(),
              static_cast<unsigned long long>(first), static_cast<unsigned long long>(last),
              went_back ? "true" : "false", quoted(error).c_str());
  return session.broken() || went_back || !error.empty() ? 1 : 0;
}

int ask(const std::vector<std::string>& words) {
  const auto options = parse(words);
  if (options.others.empty()) throw std::runtime_error("which port?");
  const auto port = static_cast<std::uint16_t>(std::stoul(options.others[0]));
  std::string line;
  for (std::size_t i = 1; i < options.others.size(); ++i) line += (i > 1 ? " " : "") + options.others[i];
  Limit limit(options);
  std::string why;
  do {
    // A short limit for one try: while a guest boots, its first frames are dropped, and TCP's own second try comes
    // late.
    const auto fd = connect_tcp(options.address, port, options.seconds > 0 ? 250ms : 5000ms, why);
    if (!fd) {
      std::this_thread::sleep_for(20ms);
      continue;
    }
    ::fcntl(fd->get(), F_SETFL, 0);
    // A check reads a whole disk before it answers; a connection alone must not hang for ever.
    const timeval patience{60, 0};
    ::setsockopt(fd->get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (port != 11 && port != 10) send_all(fd->get(), line + "\n");
    LineReader reader(fd->get());
    if (const auto reply = reader.next()) {
      std::puts(reply->c_str());
      return reply->starts_with("error") ? 1 : 0;
    }
    why = "the connection ended without an answer";
  } while (options.seconds > 0 && !limit.over());
  throw std::runtime_error(options.address + " port " + std::to_string(port) + ": " + why);
}
