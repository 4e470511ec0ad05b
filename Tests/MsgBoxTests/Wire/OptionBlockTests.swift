import MsgBox
import Testing

@Suite struct OptionBlockTests {
  static func end(_ bytes: [UInt8], from start: Int = 0) throws(DropReason) -> Int {
    try OptionBlock.end(bytes.span, start..<bytes.count)
  }

  @Test("An empty block is its length field")
  func empty() throws {
    #expect(try Self.end([0, 0]) == 2)
    #expect(try Self.end([9, 9, 0, 0, 7], from: 2) == 4)
  }

  @Test("Options with the high bit set are passed over")
  func skippable() throws {
    #expect(try Self.end([0, 2, 0x80, 0, 5]) == 4)
    #expect(try Self.end([0, 7, 0xff, 3, 1, 2, 3, 0x81, 0]) == 9)
    let longest = [0x01, 0x01, 0x80, 0xff] + [UInt8](repeating: 0, count: 255)
    #expect(try Self.end(longest) == longest.count)
  }

  @Test("An option without the high bit must be understood, and none is")
  func critical() {
    for type in UInt8(0)..<0x80 {
      #expect(throws: DropReason.option) { try Self.end([0, 2, type, 0]) }
      #expect(throws: DropReason.option) { try Self.end([0, 4, 0x80, 0, type, 0]) }
    }
  }

  @Test("A block longer than its body is short")
  func tooLong() {
    for bytes in [[], [0], [0, 1], [0, 2, 0x80], [0xff, 0xff, 0x80, 0]] as [[UInt8]] {
      #expect(throws: DropReason.short) { try Self.end(bytes) }
    }
  }

  @Test("An option that does not fit its block is malformed")
  func impossible() {
    for bytes in [
      [0, 1, 0x80], [0, 2, 0x80, 1], [0, 3, 0x80, 2, 0], [0, 3, 0x80, 0, 0x80],
      [0, 2, 0x80, 0xff, 0, 0, 0],
    ] as [[UInt8]] {
      #expect(throws: DropReason.malformed) { try Self.end(bytes) }
    }
  }

  @Test("A packet's payload lies behind its options")
  func inPacket() {
    let id: [UInt8] = [0, 1, 2, 3, 4, 5, 6, 7]
    let skippable =
      [0xcb, 1, 0, 1, 0, 0, 0, 3] + id + [0, 0, 0, 9] + [0, 3, 0x90, 1, 5] + Array("body".utf8)
    let packet = steps(skippable).first?.packet
    #expect(packet?.messageID == 9)
    #expect(packet?.payload == 25..<29)
    let critical = [0xc9, 0, 0, 1, 0, 0, 0, 0] + id + [0, 2, 0x01, 0]
    #expect(steps(critical) == [.drop(.option)])
  }
}
