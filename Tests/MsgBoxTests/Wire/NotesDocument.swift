import Foundation

/// The parts of notes.md, README.md and msgbox.h that tests hold against the code.
struct Document {
  let lines: [Substring]

  /// Reads a file of the package; `path` is relative to its root.
  init(_ path: String) throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    let text = try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    lines = text.split(separator: "\n", omittingEmptySubsequences: false)
  }

  struct Block {
    var info: String
    var lines: [Substring]
  }

  /// The fenced blocks whose first line begins with ``` and `language`.
  func blocks(_ language: String) -> [Block] {
    var blocks: [Block] = []
    var open: Block?
    for line in lines {
      if let block = open {
        if line == "```" {
          blocks.append(block)
          open = nil
        } else {
          open?.lines.append(line)
        }
      } else if line.hasPrefix("```") {
        open = Block(info: String(line.dropFirst(3)), lines: [])
      }
    }
    return blocks.filter { $0.info == language || $0.info.hasPrefix(language + " ") }
  }

  /// The rows of the first table under the heading with that text, without its own two head rows;
  /// empty if there is none.
  func table(under heading: String) -> [[String]] {
    guard
      let start = lines.firstIndex(where: {
        $0.hasPrefix("#") && $0.drop { $0 == "#" || $0 == " " } == heading
      })
    else { return [] }
    let rest = lines[(start + 1)...].prefix { !$0.hasPrefix("#") }.drop { !$0.hasPrefix("|") }
    return rest.prefix { $0.hasPrefix("|") }.dropFirst(2).map { line in
      line.split(separator: "|", omittingEmptySubsequences: false).dropFirst().dropLast().map {
        $0.trimmingCharacters(in: CharacterSet(charactersIn: " `"))
      }
    }
  }

  /// The entries `X(NAME, number, "text")` of a list macro of msgbox.h.
  func entries(of macro: String) -> [(name: String, number: Int, text: String)] {
    guard let start = lines.firstIndex(where: { $0.hasPrefix("#define \(macro)(X)") })
    else { return [] }
    var entries: [(name: String, number: Int, text: String)] = []
    for line in lines[(start + 1)...] {
      let parts = line.drop { $0 == " " }.split(separator: ",", maxSplits: 2)
      guard parts.count == 3, parts[0].hasPrefix("X("),
        let number = Int(parts[1].trimmingCharacters(in: .whitespaces))
      else { break }
      let text = parts[2].split(separator: "\"", omittingEmptySubsequences: false)
      entries.append((String(parts[0].dropFirst(2)), number, String(text.count > 1 ? text[1] : "")))
      if !line.hasSuffix("\\") { break }
    }
    return entries
  }
}

/// `pathChallenge` as `path_challenge`.
func snakeCase(_ name: String) -> String {
  name.reduce(into: "") { result, character in
    if character.isUppercase { result.append("_") }
    result.append(contentsOf: character.lowercased())
  }
}

/// A name without what spellings differ in.
func bareName(_ name: String) -> String {
  name.filter { $0 != "_" }.lowercased()
}
