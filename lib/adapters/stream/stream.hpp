// SPDX-License-Identifier: Apache-2.0
#pragma once
// Points carried over a pair of pipes: a session with a far end, and a one-way stream. FORMAT.md beside this file gives
// the bytes. Touches descriptors and one child process; what is stored, and how, is the PointStore's on the far end.

#include <memory>

#include "base/line.hpp"
#include "base/process.hpp"
#include "ports/point_store.hpp"

namespace umbra::stream {

/// Starts `far_end` and speaks a session with it. Errors of the far end arrive as they were thrown there; one that dies
/// gives Kind::unreachable with its exit status and the command. Not for several threads at a time, and at most one
/// point is open at a time.
std::unique_ptr<ports::PointStore> connect(const base::Argv& far_end);

/// The same over a line that leads to a far end which listens; `name` stands for it in messages. Kind::refused where it
/// won't speak to this side.
std::unique_ptr<ports::PointStore> connect(std::unique_ptr<base::Line> line, const std::string& name);

/// The far end of a session: answers requests until `in_fd` ends. A bad request is answered by an error; a violation of
/// the protocol ends the session by an exception. The caller ignores SIGPIPE.
/// Waiting for the client ends by Kind::cancelled once `cancel`, which may be null, is asked for.
void serve(ports::PointStore& store, int in_fd, int out_fd, const base::CancelToken* cancel = nullptr);
void serve(ports::PointStore& store, base::Line& line);
/// In place of serve(): the client's first request will be answered by `error`.
void refuse(base::Line& line, const base::Error& error);

/// Writes one point to `fd`, which it does not own. commit() ends the stream; it can't know what the receiver makes of
/// it, so its PointInfo has neither root nor layers.
std::unique_ptr<ports::BlockSink> send_one_way(int fd, const model::PointHeader& header);

struct Received {
  model::PointInfo point;
  model::ShadowId shadow;
  model::VmName vm;
};

/// Reads one point from `fd` into `store`; the shadow is made where it is absent, and a point without a number gets the
/// next. Nothing stays of a stream that is torn, damaged, of an unknown version, or ended by `cancel`, which may be
/// null.
Received receive_one_way(ports::PointStore& store, int fd, const base::CancelToken* cancel = nullptr);

}  // namespace umbra::stream
