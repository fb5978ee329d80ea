// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether another host's kernel still answers. A process may wait on a connection that is idle to TCP: its question was
// taken, the link was cut before the answer, and nothing on this side tells. So the host itself is asked, by trying to
// connect to a port that nobody serves: refused is an answer as good as any, and no process over there is disturbed.

#include <sys/socket.h>
#include <deque>
#include <optional>

#include "adapters/procfs/streams.hpp"
#include "base/clock.hpp"
#include "base/fd.hpp"

namespace umbra::procfs {

class PeerProbe {
 public:
  /// The host at the other end of `stream`.
  explicit PeerProbe(const Stream& stream);
  /// Takes answers, and asks anew where it is time to. To be called often.
  void look(base::Millis now);
  /// Whether it answered once, and has not for so long, though it was asked all along. One that never answers, as
  /// behind a filter that drops such packets, is never called silent.
  bool is_silent(base::Millis now, base::Millis limit) const;

 private:
  struct Question {
    base::Millis asked;
    base::UniqueFd socket;
  };
  void ask(base::Millis now);
  sockaddr_storage m_peer{};
  socklen_t m_size = 0;
  std::optional<base::Millis> m_answered;
  std::optional<base::Millis> m_asked;
  std::deque<Question> m_open;                    ///< oldest first
  std::optional<base::Millis> m_first_in_vain{};  ///< the first question since the last answer
};

}  // namespace umbra::procfs
