import MsgBox
import Synchronization
import Testing

/// Holds what the tests of a suite do to the core against the table of transitions in notes.md: a test goes the way of
/// every row that names it, and nothing goes a way that no row has.
struct TransitionTrait: SuiteTrait, TestTrait, TestScoping {
  /// Machines whose states are enumerations of the core, so that it tells of their changes.
  static let machines: Set<String> = ["connection", "listener", "stream", "message", "datagram"]

  let isRecursive = true

  func scopeProvider(for test: Test, testCase: Test.Case?) -> Self? {
    test.isSuite || testCase != nil ? nil : self
  }

  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    #if DEBUG
      let changes = ChangeSet()
      let observer: @Sendable (StateChange) -> Void = { changes.insert($0) }
      try await StateChange.$observer.withValue(observer) { try await function() }
      Self.check(changes.all, of: Self.name(of: test), TransitionTable.rows)
    #else
      try await function()
    #endif
  }

  /// `Suite.function`, as the table names it.
  private static func name(of test: Test) -> String {
    let parts = "\(test.id)".split(separator: "/")
    guard parts.count >= 2, let suite = parts[0].split(separator: ".").last else { return "" }
    return "\(suite).\(parts[1].prefix { $0 != "(" })"
  }

  #if DEBUG
    private static func check(
      _ changes: Set<String>, of test: String, _ rows: [TransitionTable.Row]
    ) {
      let known = Set(rows.map(\.change))
      for change in changes where !known.contains(change) {
        Issue.record("no row of the table has \(change)")
      }
      for row in rows where row.isTold && row.tests.contains(test) {
        #expect(changes.contains(row.change), "\(test) does not go this way: \(row.change)")
      }
    }

    private final class ChangeSet: Sendable {
      private let changes = Mutex<Set<String>>([])

      func insert(_ change: StateChange) {
        let text = "\(change.machine): \(change.from) -> \(change.to)"
        changes.withLock { _ = $0.insert(text) }
      }

      var all: Set<String> { changes.withLock { $0 } }
    }
  #endif
}

extension Trait where Self == TransitionTrait {
  static var transitions: Self { Self() }
}

/// The table of transitions in notes.md.
enum TransitionTable {
  struct Row {
    var machine: String
    var from: String
    var to: String
    var tests: [String]

    /// Whether the core tells of it. It does not of what only begins or ends with the place that keeps it, nor of the
    /// same state again.
    var isTold: Bool {
      TransitionTrait.machines.contains(machine) && from != to
        && (machine == "stream" ? to != "open" || from != "-" : to != "-")
        && (machine != "datagram" || from != "-")
    }

    var change: String { "\(machine): \(from) -> \(to)" }
  }

  static let rows: [Row] = {
    let table = (try? Document("notes.md").table(under: "Transitions")) ?? []
    return table.map { columns in
      let tests = columns[4].split(separator: ",").map { String($0.drop { $0 == " " }) }
      return Row(machine: columns[0], from: columns[1], to: columns[2], tests: tests)
    }
  }()
}
