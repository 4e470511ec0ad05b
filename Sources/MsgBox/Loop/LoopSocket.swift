/// One socket of a loop.
final class LoopSocket {
  enum Role: Equatable {
    case datagram(isConnected: Bool)
    case listener
    case connecting(Handle)
    case stream
  }

  let id: SocketID
  /// What the poller says when it is ready; no other socket of the loop ever has it.
  let token: UInt64
  /// Nil once it was closed, though someone may still hold this object until the end of a call.
  private var descriptor: FileDescriptor?
  /// The number of the descriptor; -1 once it was closed.
  private(set) var fd: Int32
  /// Its own address; the IP is unspecified at a wildcard.
  let local: Address
  let isIPv6: Bool
  let isWildcard: Bool
  var role: Role
  let isConnectedDatagram: Bool
  /// The peer of a connected UDP socket.
  var remote = Address.unspecified
  /// Of a UDP socket: whether datagrams leave together.
  var trains = Trains()
  /// What the poller watches it for.
  var interest = Readiness.none
  /// The system's send buffer is full, and the core knows.
  var isBlocked = false
  /// What was polled from the core but not sent, oldest first; less than one batch.
  var held: [HeldDatagram] = []
  /// What was received and waits for the next turn, oldest first; less than one batch.
  var backlog: [BacklogTrain] = []
  /// Of a stream: it is not read, because the program takes no more.
  var isPaused = false
  /// Of a stream: it hung up while it was paused, and is not polled until it is read again.
  var isUnpolled = false
  /// Of a stream: its end was read.
  var hasReadEnd = false
  /// Of a stream: its failure was told to the core.
  var hasFailed = false
  /// Of a stream: why writing failed, while there may be bytes left to read.
  var writeError: Errno?
  /// Of a listener: accepting fails for want of descriptors, and the core knows.
  var isShedding = false

  init(id: SocketID, token: UInt64, socket: consuming OpenSocket, role: Role) {
    self.id = id
    self.token = token
    local = socket.local
    isIPv6 = socket.isIPv6
    isWildcard = socket.isWildcard
    self.role = role
    if case .datagram(let isConnected) = role {
      isConnectedDatagram = isConnected
    } else {
      isConnectedDatagram = false
    }
    fd = socket.descriptor.rawValue
    descriptor = socket.takeDescriptor()
  }

  var isOpen: Bool { fd >= 0 }

  func close() {
    fd = -1
    descriptor = nil
  }
}

/// The sockets of a loop by their ids, which are small and used again.
struct SocketTable {
  private var slots: [LoopSocket?] = []
  private var generations: [UInt32] = []
  private var free: [UInt32] = []

  subscript(id: SocketID) -> LoopSocket? {
    let index = Int(id.rawValue)
    return index < slots.count ? slots[index] : nil
  }

  /// The socket of a poller's token; nil if it is gone, even if its id is in use again.
  subscript(token token: UInt64) -> LoopSocket? {
    guard let socket = self[SocketID(rawValue: UInt32(truncatingIfNeeded: token))],
      socket.token == token
    else { return nil }
    return socket
  }

  mutating func add(_ socket: consuming OpenSocket, role: LoopSocket.Role) -> LoopSocket {
    let index = free.popLast() ?? UInt32(truncatingIfNeeded: slots.count)
    if Int(index) == slots.count {
      slots.append(nil)
      generations.append(0)
    }
    generations[Int(index)] &+= 1
    let token = UInt64(generations[Int(index)]) << 32 | UInt64(index)
    let added = LoopSocket(
      id: SocketID(rawValue: index), token: token, socket: socket, role: role)
    slots[Int(index)] = added
    return added
  }

  /// Closes a socket and takes it out.
  mutating func remove(_ id: SocketID) {
    guard let socket = self[id] else { return }
    socket.close()
    slots[Int(id.rawValue)] = nil
    free.append(id.rawValue)
  }

  /// The ids in use, in order.
  var ids: [SocketID] {
    var ids: [SocketID] = []
    for index in slots.indices where slots[index] != nil {
      ids.append(SocketID(rawValue: UInt32(truncatingIfNeeded: index)))
    }
    return ids
  }
}
