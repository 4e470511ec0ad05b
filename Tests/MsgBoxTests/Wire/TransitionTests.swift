import Foundation
import Testing

/// Holds the table of transitions in notes.md against the code: every state is in it, and every test that it names is
/// there.
@Suite struct TransitionTests {
  /// Columns: of what, from, to, when, tests.
  private let rows: [[String]]

  init() throws {
    rows = try Document("notes.md").table(under: "Transitions")
  }

  /// The lines of each file of the tests.
  private func files() throws -> [[Substring]] {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent()
    let paths = FileManager.default.enumerator(at: root, includingPropertiesForKeys: nil)
    let files = try #require(paths).compactMap { $0 as? URL }.filter { $0.pathExtension == "swift" }
    return try files.map { try String(contentsOf: $0, encoding: .utf8).split(separator: "\n") }
  }

  /// The suites with `TransitionTrait`.
  private func markedSuites() throws -> Set<String> {
    var suites: Set<String> = []
    for lines in try files() {
      for (line, next) in zip(lines, lines.dropFirst())
      where line.hasPrefix("@Suite(") && line.hasSuffix(", .transitions)") {
        if let suite = name(after: "struct ", next) { suites.insert(suite) }
      }
    }
    return suites
  }

  /// The tests of the suite, as `Suite.function`.
  private func tests() throws -> Set<String> {
    var tests: Set<String> = []
    for lines in try files() {
      var suite = ""
      var isMarked = false
      for line in lines {
        if let name = name(after: "struct ", line) ?? name(after: "extension ", line) {
          suite = name
        }
        if line.hasPrefix("  @Test") { isMarked = true }
        guard isMarked, let function = name(after: "  func ", line) else { continue }
        tests.insert("\(suite).\(function)")
        isMarked = false
      }
    }
    return tests
  }

  private func name(after start: String, _ line: Substring) -> String? {
    let line = line.hasPrefix("@Suite") ? line.drop { $0 != "s" && $0 != "e" } : line
    guard let range = line.range(of: start), line[..<range.lowerBound].allSatisfy({ $0 != "/" }),
      start.hasPrefix(" ") == line.hasPrefix(" ")
    else { return nil }
    let name = line[range.upperBound...].prefix { $0.isLetter || $0.isNumber || $0 == "_" }
    return name.isEmpty ? nil : String(name)
  }

  @Test("Every row names tests that are there")
  func named() throws {
    let tests = try tests()
    #expect(rows.count > 50 && tests.count > 400)
    for row in rows {
      let names = row[4].split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
      #expect(!names.isEmpty, "\(row)")
      for name in names where !tests.contains(name) { Issue.record("no test \(name): \(row)") }
    }
  }

  @Test("Every test of a row that the core tells of is in a suite that holds it against the table")
  func told() throws {
    let suites = Set(
      TransitionTable.rows.filter(\.isTold).flatMap(\.tests).map { $0.prefix { $0 != "." } })
    #expect(suites.count >= 15)
    let marked = try markedSuites()
    for suite in suites { #expect(marked.contains(String(suite)), "\(suite) lacks the trait") }
  }

  @Test("Every state of the code is in it, and is come to and left")
  func states() throws {
    let enums = [
      ("connection, listener", "ConnectionRecord", "Phase"), ("stream", "SocketState", "Phase"),
      ("message", "OutboxMessage", "State"), ("datagram", "SentDatagrams", "State"),
    ]
    for (kinds, file, name) in enums {
      let source = try Document("Sources/MsgBox/Core/\(file).swift").lines
      let start = try #require(source.firstIndex { $0.contains("enum \(name): UInt8") })
      let cases = source[start...].prefix { $0 != "  }" }.compactMap { line in
        line.hasPrefix("    case ") ? String(line.dropFirst(9)) : nil
      }
      #expect(cases.count >= 3)
      let rows = rows.filter { kinds.split(separator: ", ").contains(Substring($0[0])) }
      for state in cases {
        #expect(rows.contains { $0[2] == state }, "nothing leads to \(state) of \(file)")
        let isLast = state == "ended" || state == "done" || state == "acknowledged"
        #expect(isLast || rows.contains { $0[1] == state }, "nothing leaves \(state) of \(file)")
      }
    }
  }
}
