import Glibc
import MsgBox

/// Texts that may be addresses, and addresses as texts: what is written is read as it was, and an IP address is one for
/// this parser exactly if it is one for the system.
enum AddressesFuzz {
  static func run(_ input: inout FuzzInput) {
    switch input.byte() % 4 {
    case 0: writeAndRead(&input)
    case 1: compareWithSystem(input.rest())
    default: read(input.rest())
    }
  }

  private static func writeAndRead(_ input: inout FuzzInput) {
    let transport: Transport = input.flag() ? .tcp : .udp
    let number = { (input: inout FuzzInput) -> UInt64 in
      (0..<4).reduce(UInt64(0)) { word, _ in word << 16 | UInt64(input.word()) }
    }
    var ip = IPAddress(high: number(&input), low: number(&input))
    if input.flag() { ip = IPAddress(v4: UInt32(truncatingIfNeeded: ip.low)) }
    let scope = input.flag() ? UInt32(input.word()) << 16 | UInt32(input.word()) : 0
    check(Address(ip: ip, port: input.word(), scope: scope), transport)
  }

  /// What an address says of itself is the same address.
  private static func check(_ address: Address, _ transport: Transport) {
    let text = address.text(transport)
    hold(text.count <= 64 && text.allSatisfy { $0 < 128 })
    guard let read = LocatorParser.parse(text.span) else {
      return report("\(text) is no address")
    }
    hold(read.transport == transport && read.port == address.port)
    let isAny = address.ip == .unspecified
    hold(read.host == (isAny ? .any : .ip(address.ip)))
    hold(read.scope == (isAny || address.ip.isIPv4 ? 0 : address.scope))
  }

  private static func read(_ text: [UInt8]) {
    guard let locator = LocatorParser.parse(text.span) else { return }
    hold(text.count <= LocatorParser.longestText)
    switch locator.host {
    case .any: hold(text.count >= 9 && text[6] == UInt8(ascii: "*"))
    case .ip(let ip):
      check(Address(ip: ip, port: locator.port, scope: locator.scope), locator.transport)
    case .name(let name):
      hold(!name.isEmpty && name.count <= 253 && text[6..<6 + name.count].elementsEqual(name))
      let again = Array(text[..<6]) + name + Array(":\(locator.port)".utf8)
      hold(LocatorParser.parse(again.span) == locator)
    }
  }

  private static func compareWithSystem(_ text: [UInt8]) {
    // The system's functions take the text up to its first 0.
    guard !text.contains(0) else { return }
    let terminated = (text + [0]).map { CChar(bitPattern: $0) }
    var v4 = in_addr()
    let isV4 = unsafe inet_pton(AF_INET, terminated, &v4) == 1
    hold(LocatorParser.ipv4(text.span) == (isV4 ? UInt32(bigEndian: v4.s_addr) : nil))
    var v6 = in6_addr()
    let isV6 = unsafe inet_pton(AF_INET6, terminated, &v6) == 1
    let halves = unsafe withUnsafeBytes(of: &v6) {
      unsafe ($0.load(as: UInt64.self), $0.load(fromByteOffset: 8, as: UInt64.self))
    }
    let ip = IPAddress(high: UInt64(bigEndian: halves.0), low: UInt64(bigEndian: halves.1))
    hold(LocatorParser.ipv6(text.span) == (isV6 ? ip : nil))
  }
}
