// SPDX-License-Identifier: Apache-2.0
#pragma once
// Errors: what happened, to what, and what to type next. Callers branch on the kind, never on the text.

#include <exception>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace umbra::base {

enum class Kind {
  usage,        ///< the command line or the configuration is wrong
  invalid,      ///< input data are wrong (a record, a trace, a definition)
  not_found,    ///< no such VM, host, shadow or point
  unreachable,  ///< a host or service does not answer
  refused,      ///< a safety check said no: nothing was changed
  busy,         ///< another run holds the lock
  no_space,     ///< a disk is full
  corrupt,      ///< contents differ from their digest or are no valid format
  unsupported,  ///< the thing is sound, but Umbra or its host can't do that with it
  timeout,      ///< a deadline passed
  cancelled,    ///< a signal or the caller ended it
  interrupted,  ///< an interrupted switchover must be recovered first
  io,           ///< the operating system or a library failed
  internal,     ///< a defect of Umbra
};

std::string_view to_string(Kind kind);
/// The kind whose name is `name`; Kind::internal for an unknown name.
Kind kind_from_string(std::string_view name);

/// One failure with the context it gained on the way up. what() is the whole chain in one line, outermost first.
class Error : public std::exception {
 public:
  /// `message` says what happened; `hint` what to type next (may be empty).
  Error(Kind kind, std::string message, std::string hint = {});

  /// Adds what the caller knows ("replicating web1 to beta"), outermost last added.
  Error& add_context(std::string context);
  Error& set_hint(std::string hint);
  /// Adds what came of it: "; taking it back failed too: ...".
  Error& add_consequence(const std::string& text);

  Kind kind() const noexcept { return m_kind; }
  const std::string& message() const noexcept { return m_message; }
  const std::string& hint() const noexcept { return m_hint; }
  /// Outermost first.
  std::vector<std::string> context() const { return {m_context.rbegin(), m_context.rend()}; }
  const char* what() const noexcept override { return m_what.c_str(); }

 private:
  void render();
  Kind m_kind;
  std::string m_message;
  std::string m_hint;
  std::vector<std::string> m_context;
  std::string m_what;
};

/// An Error from errno: `what` names the act and its object ("open /x"). ENOSPC and EDQUOT give Kind::no_space.
Error from_errno(int error_number, std::string_view what);
/// What a library threw for a failed system call, std::filesystem above all: the kind and hint of its error number.
Error from_system(const std::system_error& failure);

/// A failure that nobody foresaw, as Kind::internal.
Error defect(const std::exception& failure);

/// Runs `act`; whatever fails in it leaves as an Error.
template <class Act>
decltype(auto) as_error(Act&& act) {
  try {
    return std::forward<Act>(act)();
  } catch (const Error&) {
    throw;
  } catch (const std::system_error& e) {
    throw from_system(e);
  } catch (const std::exception& e) {
    throw defect(e);
  }
}

/// The same; the Error gains `context`.
template <class Act>
decltype(auto) with_context(const std::string& context, Act&& act) {
  try {
    return as_error(std::forward<Act>(act));
  } catch (Error& e) {
    e.add_context(context);
    throw;
  }
}

/// Runs `act`; where it fails, `undo` before the failure goes on. Where that fails too, the Error tells both, and hints
/// at what is left to do.
template <class Act, class Undo>
decltype(auto) or_undo(Act&& act, Undo&& undo) {
  try {
    return as_error(std::forward<Act>(act));
  } catch (Error& failure) {
    try {
      as_error(std::forward<Undo>(undo));
    } catch (const Error& second) {
      failure.add_consequence(second.what());
      if (!second.hint().empty()) failure.set_hint(second.hint());
    }
    throw;
  }
}

}  // namespace umbra::base
