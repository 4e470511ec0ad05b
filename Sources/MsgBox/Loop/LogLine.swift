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

  mutating func append(_ text: [UInt8]) {
    bytes.append(contentsOf: text)
  }

  /// Appends a C string without its final 0; NULL is empty.
  @unsafe mutating func append(cString text: UnsafePointer<CChar>?) {
    guard let text = unsafe text else { return }
    var index = 0
    while unsafe text[index] != 0 {
      bytes.append(UInt8(bitPattern: unsafe text[index]))
      index += 1
    }
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
