import MsgBox
import Testing

/// What an address text must become; the comparison is by the text that the result is printed as.
@Suite("Addresses")
struct LocatorParserTests {
  static func parse(_ text: String) -> Locator? {
    LocatorParser.parse(Array(text.utf8).span)
  }

  static func spell(_ locator: Locator) -> String {
    switch locator.host {
    case .any: "\(locator.transport)|*|\(locator.port)"
    case .name(let bytes):
      "\(locator.transport)|\(String(decoding: bytes, as: UTF8.self))|\(locator.port)"
    case .ip(let ip):
      String(
        decoding: Address(ip: ip, port: locator.port, scope: locator.scope).text(locator.transport),
        as: UTF8.self)
    }
  }

  @Test(
    "A good address becomes its parts",
    arguments: [
      ("udp://127.0.0.1:2345", "udp://127.0.0.1:2345"),
      ("tcp://255.255.255.255:65535", "tcp://255.255.255.255:65535"),
      ("tcp://0.0.0.0:0", "tcp://0.0.0.0:0"),
      ("udp://*:0", "udp|*|0"),
      ("udp://*:00080", "udp|*|80"),
      ("udp://[::1]:7", "udp://[::1]:7"),
      ("udp://[2001:DB8:0:0:1:0:0:1]:1", "udp://[2001:db8::1:0:0:1]:1"),
      ("udp://[2001:db8:0:1:1:1:1:1]:1", "udp://[2001:db8:0:1:1:1:1:1]:1"),
      ("udp://[2001:0:0:1:0:0:0:1]:1", "udp://[2001:0:0:1::1]:1"),
      ("udp://[1:2:3:4:5:6:7::]:1", "udp://[1:2:3:4:5:6:7:0]:1"),
      ("udp://[::2:3:4:5:6:7:8]:1", "udp://[0:2:3:4:5:6:7:8]:1"),
      ("udp://[1::]:1", "udp://[1::]:1"),
      ("udp://[fe80::1%3]:9", "udp://[fe80::1%3]:9"),
      ("udp://[fe80::1%4294967295]:9", "udp://[fe80::1%4294967295]:9"),
      ("udp://[::ffff:10.1.2.3]:9", "udp://10.1.2.3:9"),
      ("udp://[64:ff9b::10.1.2.3]:9", "udp://[64:ff9b::a01:203]:9"),
      ("udp://[1:2:3:4:5:6:7.8.9.10]:9", "udp://[1:2:3:4:5:6:708:90a]:9"),
      ("tcp://localhost:80", "tcp|localhost|80"),
      ("tcp://a-b.c_d.Example.:80", "tcp|a-b.c_d.Example.|80"),
      ("tcp://1.2.3.4.example:80", "tcp|1.2.3.4.example|80"),
    ])
  func good(_ text: String, _ expected: String) throws {
    let locator = try #require(Self.parse(text))
    #expect(Self.spell(locator) == expected)
  }

  @Test(
    "Anything else is no address",
    arguments: [
      "", "udp", "udp://", "udp://x", "udp://:1", "udp://*", "udp://*:", "udp://*:65536",
      "udp://*:000080", "udp://*:+1", "udp://*:-1", "udp://*: 1", "udp://*:1 ", " udp://*:1",
      "udp://*:0x1", "udp://**:1", "UDP://*:1", "udp:/*:1", "sctp://*:1", "udp://*:1/", "udp//*:1",
      "udp://1.2.3:1", "udp://1.2.3.4.5:1", "udp://256.1.1.1:1", "udp://01.2.3.4:1",
      "udp://1.2.3.:1", "udp://1..2.3:1", "udp://127.1:1", "udp://0x7f.1:1", "udp://12345:1",
      "udp://::1:1", "udp://[]:1", "udp://[:]:1", "udp://[:::]:1", "udp://[1]:1", "udp://[::1:1",
      "udp://::1]:1", "udp://[::1]1", "udp://[::1]", "udp://[1:2:3:4:5:6:7]:1",
      "udp://[1:2:3:4:5:6:7:8:9]:1", "udp://[1:2:3:4::5:6:7:8]:1", "udp://[1::2::3]:1",
      "udp://[12345::]:1", "udp://[g::]:1", "udp://[1:2:]:1", "udp://[:1:2]:1",
      "udp://[1.2.3.4::]:1", "udp://[1:2:3:4:5:6:7:1.2.3.4]:1", "udp://[::1.2.3]:1",
      "udp://[fe80::1%]:1", "udp://[fe80::1%0]:1", "udp://[fe80::1%eth0]:1",
      "udp://[fe80::1%4294967296]:1", "udp://[fe80::1%1%1]:1", "udp://[127.0.0.1]:1",
      "udp://a..b:1", "udp://.a:1", "udp://-a:1", "udp://a-:1", "udp://a b:1", "udp://.:1",
      "udp://a@b:1", "udp://ä:1", "udp://a\0:1", "udp://*:1\0",
    ])
  func bad(_ text: String) {
    #expect(Self.parse(text) == nil)
  }

  @Test("Host names have labels of at most 63 bytes and 253 bytes in all")
  func lengths() {
    let label = String(repeating: "a", count: 63)
    let longest = "\(label).\(label).\(label).\(String(repeating: "b", count: 61))"
    #expect(longest.utf8.count == 253)
    #expect(Self.parse("udp://\(longest):65535") != nil)
    #expect(Self.parse("udp://\(longest)b:1") == nil)
    #expect(Self.parse("udp://\(label)a.b:1") == nil)
    #expect(Self.parse("udp://" + String(repeating: "a:", count: 1_000_000) + "1") == nil)
  }

  @Test("What is printed is read back as the same address")
  func roundTrip() throws {
    var random = RandomSource(seed: 7)
    for _ in 0..<2000 {
      // Groups are often zero, so that runs of every length and place occur.
      let high = random.word() & mask(&random)
      let low = random.word() & mask(&random) | 1
      let address = Address(
        ip: IPAddress(high: high, low: low), port: UInt16(truncatingIfNeeded: random.word()),
        scope: random.below(2) == 0 ? 0 : UInt32(truncatingIfNeeded: random.word() | 1))
      let text = address.text(.udp)
      #expect(text.count <= 64)
      let parsed = LocatorParser.parse(text.span)
      let locator = try #require(parsed)
      #expect(locator.host == .ip(address.ip))
      #expect(locator.port == address.port)
      #expect(locator.scope == (address.ip.isIPv4 ? 0 : address.scope))
    }
  }

  private func mask(_ random: inout RandomSource) -> UInt64 {
    var mask: UInt64 = 0
    for _ in 0..<4 { mask = mask << 16 | (random.below(3) == 0 ? 0xffff : 0) }
    return mask
  }

  @Test("No bytes make the parser trap")
  func noise() {
    var random = RandomSource(seed: 11)
    let alphabet = Array("udptc:/[]%*.0123456789abcf::::....-_ x".utf8)
    var parsed = 0
    for round in 0..<20_000 {
      var text = Array(round & 1 == 0 ? "udp://".utf8 : "".utf8)
      for _ in 0..<random.below(24) {
        text.append(alphabet[Int(random.below(UInt64(alphabet.count)))])
      }
      parsed += LocatorParser.parse(text.span) == nil ? 0 : 1
    }
    #expect(parsed < 20_000)
  }
}
