import Testing

@Suite("What fuzzing has kept")
struct FuzzCorpusTests {
  /// The inputs of one file of Tests/Fuzz: a line of hexadecimal digits each.
  private func inputs(_ path: String) throws -> [[UInt8]] {
    try Document(path).lines.compactMap { line in
      let digits = Array(line.prefix { $0 != "#" }.utf8.filter { $0 != UInt8(ascii: " ") })
      if digits.isEmpty { return nil }
      if digits == [UInt8(ascii: "-")] { return [] }
      return try stride(from: 0, to: digits.count, by: 2).map { place in
        let pair = String(decoding: digits[place..<min(place + 2, digits.count)], as: UTF8.self)
        return try #require(UInt8(pair, radix: 16), "\(path): \(line)")
      }
    }
  }

  @Test("Every input that reached something of its own", arguments: FuzzTarget.allCases)
  func corpus(target: FuzzTarget) throws {
    let inputs = try inputs("Tests/Fuzz/corpus/\(target.rawValue).hex")
    #expect(inputs.count > 10)
    for input in inputs { target.run(input) }
  }

  @Test("Every input that once failed", arguments: FuzzTarget.allCases)
  func regressions(target: FuzzTarget) throws {
    let inputs = try inputs("Tests/Fuzz/regressions/\(target.rawValue).hex")
    #expect(inputs.count >= Self.leastRegressions(of: target))
    for input in inputs { target.run(input) }
  }

  /// How many inputs have failed once: they are added to and never taken away.
  private static func leastRegressions(of target: FuzzTarget) -> Int {
    switch target {
    case .pair: 5
    case .endpoint: 1
    case .packets, .streams, .fragments, .addresses: 0
    }
  }
}
