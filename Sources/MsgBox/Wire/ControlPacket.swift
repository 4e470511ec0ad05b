/// A packet that carries no message. It is kept as these few values until it is sent.
package enum ControlPacket: Equatable, Sendable {
  /// A heartbeat: 16 bytes.
  case heartbeat
  /// A close: 16 bytes.
  case close(CloseReason)
  /// A hello: 48 bytes.
  case hello(Introduction, Cookie = .none)
  /// An accept: 32 bytes.
  case accept(Introduction)
  /// A cookie: 32 bytes.
  case cookie(Cookie)
  /// A path challenge with its token: 24 bytes.
  case pathChallenge(UInt64)
  /// A path response with the token of the challenge: 24 bytes.
  case pathResponse(UInt64)

  package var kind: PacketKind {
    switch self {
    case .heartbeat: .heartbeat
    case .close: .close
    case .hello: .hello
    case .accept: .accept
    case .cookie: .cookie
    case .pathChallenge: .pathChallenge
    case .pathResponse: .pathResponse
    }
  }

  /// The header without a session.
  var header: PacketHeader {
    var header = PacketHeader(kind: kind)
    if case .close(let reason) = self { header.replyID = reason.rawValue }
    return header
  }

  /// Bytes of the longest, a hello.
  static let mostBytes = PacketHeader.size + WireFormat.sessionSize + Introduction.helloSize

  /// Appends the packet; `session` nil leaves the session field out.
  package func append(to bytes: inout [UInt8], session: UInt64?) {
    bytes.append(atMost: Self.mostBytes) { write(to: &$0, at: &$1, session: session) }
  }

  /// Writes the packet at `offset`, which moves behind it. There is room for `mostBytes`.
  func write(to bytes: inout MutableRawSpan, at offset: inout Int, session: UInt64?) {
    var header = self.header
    if session != nil { header.flags.insert(.session) }
    bytes.put(header.word, at: &offset)
    if let session { bytes.put(session, at: &offset) }
    switch self {
    case .heartbeat, .close:
      break
    case .hello(let introduction, let cookie):
      introduction.write(to: &bytes, at: &offset)
      cookie.write(to: &bytes, at: &offset)
    case .accept(let introduction):
      introduction.write(to: &bytes, at: &offset)
    case .cookie(let cookie):
      cookie.write(to: &bytes, at: &offset)
    case .pathChallenge(let token), .pathResponse(let token):
      bytes.put(token, at: &offset)
    }
  }
}

extension Introduction {
  package func append(to bytes: inout [UInt8]) {
    bytes.append(atMost: Self.acceptSize) { write(to: &$0, at: &$1) }
  }

  fileprivate func write(to bytes: inout MutableRawSpan, at offset: inout Int) {
    bytes.put(session, at: &offset)
    bytes.put(lostAfter, at: &offset)
    bytes.put(largest, at: &offset)
  }
}
