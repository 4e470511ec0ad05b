/// How much a line of the log matters. The numbers are those of msgbox.h.
package enum LogLevel: UInt32, CaseIterable, Sendable {
  case error = 1
  case warning = 2
  case info = 3
  case debug = 4
}

/// One line of the log in the making, in UTF-8 without a line end.
struct LogLine {
  private(set) var bytes: [UInt8] = []

  mutating func append(_ text: StaticString) {
    text.withUTF8Buffer { unsafe bytes.append(contentsOf: $0) }
  }

  mutating func append(_ number: Int) {
    var digits: [UInt8] = []
    var rest = number.magnitude
    repeat {
      digits.append(UInt8(truncatingIfNeeded: 48 &+ rest % 10))
      rest /= 10
    } while rest > 0
    if number < 0 { digits.append(UInt8(ascii: "-")) }
    bytes.append(contentsOf: digits.reversed())
  }
}
