import Foundation
import Testing

@Suite("The layers of the sources")
struct LayeringTests {
  private struct Source {
    var name: String
    var lines: [String]
  }

  /// The Swift files under `folder` of Sources/MsgBox.
  private func sources(_ folder: String) throws -> [Source] {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Sources/MsgBox/\(folder)")
    let files = FileManager.default.enumerator(at: root, includingPropertiesForKeys: nil)
    let urls = (files?.compactMap { $0 as? URL } ?? []).filter { $0.pathExtension == "swift" }
    return try urls.map { url in
      let text = try String(contentsOf: url, encoding: .utf8)
      return Source(
        name: "\(folder)/\(url.lastPathComponent)",
        lines: text.split(separator: "\n", omittingEmptySubsequences: false).map(Self.code))
    }
  }

  /// A line without its comment and its leading spaces.
  private static func code(_ line: Substring) -> String {
    let code = line.range(of: "//").map { line[..<$0.lowerBound] } ?? line
    return code.trimmingCharacters(in: .whitespaces)
  }

  @Test("Wire and Core import nothing", arguments: ["Wire", "Core"])
  func imports(folder: String) throws {
    let sources = try sources(folder)
    try #require(sources.count > 3)
    for source in sources {
      let imports = source.lines.filter {
        $0.split(separator: " ").contains("import")
      }
      #expect(imports.isEmpty, "\(source.name): \(imports)")
    }
  }

  @Test(
    "Wire and Core read no clock, throw no dice and print nothing", arguments: ["Wire", "Core"])
  func ambientState(folder: String) throws {
    let forbidden = [
      "ContinuousClock", "SuspendingClock", ".random(", "SystemRandomNumberGenerator", "print(",
      ".shuffle", ".randomElement(", "Date(", "DispatchTime", "Task {", "Task.", "async ",
    ]
    for source in try sources(folder) {
      for line in source.lines {
        let found = forbidden.filter { line.contains($0) }
        #expect(found.isEmpty, "\(source.name): \(line)")
      }
    }
  }

  /// A dictionary or set is known by the name that it was declared with, a private one in its own
  /// file. A loop over that name, or a call that takes its elements in their order, is found by the
  /// text; what is hidden behind another name is not.
  @Test("Wire and Core never go through a dictionary or a set", arguments: ["Wire", "Core"])
  func hashedOrder(folder: String) throws {
    let sources = try sources(folder)
    let shared = sources.flatMap { Self.hashedNames($0) { !$0.hasPrefix("private") } }
    for source in sources {
      let names = Set(shared + Self.hashedNames(source) { $0.hasPrefix("private") })
      for line in source.lines {
        let found = names.filter { Self.goesThrough($0, in: line) }
        #expect(found.isEmpty, "\(source.name): \(line)")
      }
    }
  }

  private static func hashedNames(_ source: Source, where isWanted: (String) -> Bool) -> [String] {
    source.lines.filter(isWanted).compactMap(hashedName)
  }

  /// The name of the dictionary or set that a line declares.
  private static func hashedName(_ line: String) -> String? {
    let pattern = /\b(?:var|let)\s+(\w+)\s*(?::|=)\s*(?:\[[^\[\](]+:|Set<|Dictionary<|\[:\])/
    return line.firstMatch(of: pattern).map { String($0.1) }
  }

  private static func goesThrough(_ name: String, in line: String) -> Bool {
    let calls = [
      "keys", "values", "first", "map", "forEach", "filter", "randomElement", "min", "max",
    ]
    if line.hasPrefix("for "), let range = line.range(of: " in ") {
      let sequence = line[range.upperBound...].prefix { !" {".contains($0) }
      if sequence.split(separator: ".").last == Substring(name) { return true }
    }
    let places = line.ranges(of: "\(name).").filter { range in
      range.lowerBound == line.startIndex
        || !(line[line.index(before: range.lowerBound)].isLetter)
    }
    return places.contains { place in
      let member = line[place.upperBound...].prefix { $0.isLetter }
      return calls.contains(String(member)) || member == "popFirst"
    } || line.contains("Array(\(name))")
  }

  @Test("The search for hashed orders finds what it looks for")
  func searchWorks() {
    #expect(Self.hashedName("private var index: [UInt64: Int] = [:]") == "index")
    #expect(Self.hashedName("var seen = Set<Int>()") == "seen")
    #expect(Self.hashedName("var list: [UInt64] = []") == nil)
    #expect(Self.hashedName("let ranges: [(first: UInt32, last: UInt32)]") == nil)
    #expect(Self.hashedName("var pairs: [UInt32: (first: Int, last: Int)] = [:]") == "pairs")
    #expect(Self.goesThrough("index", in: "for (key, value) in index {"))
    #expect(Self.goesThrough("index", in: "for key in table.index {"))
    #expect(Self.goesThrough("index", in: "for key in table.index.keys {"))
    #expect(Self.goesThrough("index", in: "let any = index.first"))
    #expect(!Self.goesThrough("index", in: "for slot in index.slots {"))
    #expect(!Self.goesThrough("index", in: "for item in list {"))
    #expect(!Self.goesThrough("index", in: "let slot = index[id]"))
  }
}
