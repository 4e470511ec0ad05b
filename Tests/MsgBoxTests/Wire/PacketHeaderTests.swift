import MsgBox
import Testing

@Suite struct PacketHeaderTests {
  static let known: [(bytes: [UInt8], header: PacketHeader)] = [
    ([0xc0, 0x00, 0, 1, 0, 0, 0, 0], PacketHeader(kind: .oneWay)),
    ([0xc8, 0x03, 0, 1, 0, 0, 0, 0], PacketHeader(kind: .heartbeat, flags: .session)),
    (
      [0xca, 0x01, 0, 1, 0, 0, 0xff, 0xff],
      PacketHeader(kind: .request, flags: [.session, .fragment], replyID: 0xffff)
    ),
    (
      [0xcf, 0x02, 0xff, 0xff, 0xff, 0xfe, 0x12, 0x34],
      PacketHeader(
        kind: .reply, flags: [.session, .length, .fragment, .options], numPackets: 0xffff,
        packetID: 0xfffe, replyID: 0x1234)
    ),
    (
      [0xc4, 0x09, 0, 2, 0, 1, 0, 6],
      PacketHeader(kind: .pathResponse, flags: .length, numPackets: 2, packetID: 1, replyID: 6)
    ),
  ]

  @Test("Known bytes give the value, and the value gives the bytes", arguments: known.indices)
  func roundTrip(index: Int) throws {
    let (bytes, header) = Self.known[index]
    #expect(try PacketHeader(bytes.span, at: 0) == header)
    var written: [UInt8] = []
    header.append(to: &written)
    #expect(written == bytes)
  }

  @Test("A header is found at any offset and nowhere beyond")
  func offsets() throws {
    let header = PacketHeader(kind: .reply, replyID: 9)
    var bytes: [UInt8] = [1, 2, 3]
    header.append(to: &bytes)
    #expect(try PacketHeader(bytes.span, at: 3) == header)
    for offset in [10, 11, 12, .max, -1, .min] {
      #expect(throws: DropReason.short) { try PacketHeader(bytes.span, at: offset) }
    }
  }

  @Test("Every truncation is short", arguments: 0..<PacketHeader.size)
  func truncated(count: Int) {
    let bytes = Array(Self.known[0].bytes.prefix(count))
    #expect(throws: DropReason.short) { try PacketHeader(bytes.span, at: 0) }
  }

  @Test("The first two bits tell the protocol, the next two its version")
  func magicAndVersion() {
    for first in UInt8.min...UInt8.max {
      let bytes: [UInt8] = [first, 0x03, 0, 1, 0, 0, 0, 0]
      let failure: DropReason? =
        first >> 6 != 0b11 ? .notMsgBox : first >> 4 & 0b11 != 0 ? .version : nil
      do throws(DropReason) {
        let header = try PacketHeader(bytes.span, at: 0)
        #expect(failure == nil)
        #expect(header.flags.rawValue == UInt16(first & 0x0f) << 8)
      } catch {
        #expect(error == failure)
      }
    }
  }

  @Test(
    "A packet that is not one of its message is malformed",
    arguments: [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (0xffff, 0xffff)] as [(UInt16, UInt16)])
  func impossiblePlace(numPackets: UInt16, packetID: UInt16) {
    var bytes: [UInt8] = []
    PacketHeader(kind: .oneWay, numPackets: numPackets, packetID: packetID).append(to: &bytes)
    #expect(throws: DropReason.malformed) { try PacketHeader(bytes.span, at: 0) }
  }

  @Test("Any number may be a kind of the header: the parser judges it")
  func kinds() throws {
    for kind in UInt8.min...UInt8.max {
      let bytes: [UInt8] = [0xc0, kind, 0, 1, 0, 0, 0, 0]
      #expect(try PacketHeader(bytes.span, at: 0).kind == kind)
    }
  }

  @Test("Numbers are big-endian, of any width, and nothing is read beyond the bytes")
  func bigEndian() {
    let bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    #expect(bytes.span.bigEndian(UInt8.self, at: 8) == 9)
    #expect(bytes.span.bigEndian(UInt16.self, at: 0) == 0x0102)
    #expect(bytes.span.bigEndian(UInt32.self, at: 5) == 0x0607_0809)
    #expect(bytes.span.bigEndian(UInt64.self, at: 1) == 0x0203_0405_0607_0809)
    #expect(bytes.span.bigEndian(UInt64.self, at: 2) == nil)
    #expect(bytes.span.bigEndian(UInt16.self, at: 8) == nil)
    #expect(bytes.span.bigEndian(UInt16.self, at: -1) == nil)
    let nothing: [UInt8] = []
    #expect(nothing.span.bigEndian(UInt8.self, at: 0) == nil)
  }

  @Test("Bytes are copied to the front of a buffer if they fit, else not at all")
  func copyToFront() {
    for count in 0...5 {
      let bytes = [UInt8](repeating: 9, count: count)
      var buffer: [UInt8] = [1, 2, 3, 4]
      var target = buffer.mutableSpan
      let fits = target.copyToFront(bytes.span)
      #expect(fits == (count <= 4))
      let kept = count > 4 ? 0 : count
      #expect(buffer == [UInt8](repeating: 9, count: kept) + [1, 2, 3, 4][kept...])
    }
    var nothing: [UInt8] = []
    var target = nothing.mutableSpan
    let empty: [UInt8] = []
    let fits = target.copyToFront(empty.span)
    #expect(fits)
  }

  @Test("Numbers are written as they are read, and bytes are appended whole")
  func written() {
    var bytes: [UInt8] = []
    bytes.append(bigEndian: UInt8(0xff))
    bytes.append(bigEndian: UInt16(0x0102))
    bytes.append(bigEndian: UInt32(0x0304_0506))
    bytes.append(bigEndian: UInt64.max - 1)
    let more: [UInt8] = [7, 8]
    bytes.append(bytes: more.span)
    let expected: [UInt8] = [
      0xff, 1, 2, 3, 4, 5, 6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 7, 8,
    ]
    #expect(bytes == expected)
  }
}
