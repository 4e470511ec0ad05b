/// What a call answers and why something ended. The numbers are those of `MSG_STATUS_MAP` in
/// msgbox.h; a test holds the two against each other.
package enum Status: Int32, Error, CaseIterable, Sendable {
  case ok = 0
  case invalidArgument = -1
  case badHandle = -2
  case wrongThread = -3
  case ended = -4
  case wouldBlock = -5
  case tooBig = -6
  case busy = -7
  case reentrant = -8
  case limit = -9
  case badAddress = -10
  case resolve = -11
  case addressInUse = -12
  case notPermitted = -13
  case noDescriptors = -14
  case refused = -15
  case unreachable = -16
  case timedOut = -17
  case cancelled = -18
  case system = -19
  case reset = -20
  case protocolError = -21
  case unknownSession = -22
  case denied = -23
  case overload = -24
  case idle = -25
  case replaced = -26
  case connectionEnded = -27
  case noMemory = -28
  case noAddress = -29
  case notSupported = -30
  case receiveMark = -31
  case expired = -32
  case superseded = -33
  case noPeer = -34
  case endLocal = 1
  case endPeer = 2
  case endUnlistened = 3
}

extension Result where Failure == Status {
  /// `ok`, or why not.
  package var status: Status {
    if case .failure(let status) = self { return status }
    return .ok
  }
}
