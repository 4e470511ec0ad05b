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

  /// Appends the packet; `session` nil leaves the session field out.
  package func append(to bytes: inout [UInt8], session: UInt64?) {
    var header = self.header
    if session != nil { header.flags.insert(.session) }
    header.append(to: &bytes)
    if let session { bytes.append(bigEndian: session) }
    switch self {
    case .heartbeat, .close:
      break
    case .hello(let introduction, let cookie):
      introduction.append(to: &bytes)
      cookie.append(to: &bytes)
    case .accept(let introduction):
      introduction.append(to: &bytes)
    case .cookie(let cookie):
      cookie.append(to: &bytes)
    case .pathChallenge(let token), .pathResponse(let token):
      bytes.append(bigEndian: token)
    }
  }
}

extension Introduction {
  package func append(to bytes: inout [UInt8]) {
    bytes.append(bigEndian: session)
    bytes.append(bigEndian: lostAfter)
    bytes.append(bigEndian: largest)
  }
}
