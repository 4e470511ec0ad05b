#if DEBUG
  /// A way that a state machine of the core went: what the tests hold the table of transitions in notes.md against.
  package struct StateChange: Hashable, Sendable {
    /// As the table calls it.
    package var machine: String
    /// `-` before there was one.
    package var from: String
    /// `-` when there is none any more.
    package var to: String

    /// Told of every change that is made in its task.
    @TaskLocal package static var observer: (@Sendable (StateChange) -> Void)?

    static func tell<State>(_ machine: String, _ from: State?, _ to: State?) {
      guard let observer else { return }
      observer(
        StateChange(
          machine: machine, from: from.map { "\($0)" } ?? "-", to: to.map { "\($0)" } ?? "-"))
    }
  }
#endif
