import CMsgBox
import Glibc
import MsgBox
import Testing

/// A system call that fails: which, as what, at its how many-th time, and whether from then on.
struct FaultCase: CustomStringConvertible {
  var call: FaultCall
  var error: Int32
  var after: UInt32
  var times: UInt32

  /// Whether all is to go as if nothing had failed.
  var isHarmless: Bool { times == 1 && call.harmless.contains(error) }

  var description: String {
    "\(call.name) with error \(error) at call \(after + 1)\(times > 1 ? " and after" : "")"
  }
}

/// A kind of system call, and what it can fail with, as its manual page says: an errno, or a code of getaddrinfo.
struct FaultCall {
  var name: String
  var number: Int32
  /// What loses nothing and ends nothing when it comes once.
  var harmless: [Int32]
  var harmful: [Int32]

  var errors: [Int32] { harmless + harmful }

  /// What Linux makes of an ICMP message about an earlier packet.
  private static let bounces = [
    ECONNREFUSED, EHOSTUNREACH, EHOSTDOWN, ENETUNREACH, ENETDOWN, ENONET, ENOPROTOOPT, EOPNOTSUPP,
    EPROTO,
  ]

  static let all: [FaultCall] = [
    FaultCall(
      "socket", CMSGBOX_CALL_SOCKET,
      harmful: [EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES, EPERM, EAFNOSUPPORT]),
    FaultCall(
      "bind", CMSGBOX_CALL_BIND,
      harmful: [EADDRINUSE, EADDRNOTAVAIL, EACCES, ENOMEM, ENOBUFS, EINVAL]),
    FaultCall(
      "connect", CMSGBOX_CALL_CONNECT, harmless: [EINTR],
      harmful: [
        ECONNREFUSED, ECONNRESET, ENETUNREACH, ENETDOWN, EHOSTUNREACH, EHOSTDOWN, ETIMEDOUT,
        EADDRNOTAVAIL, EADDRINUSE, EAGAIN, EPERM, EACCES, ENOBUFS, ENOMEM,
      ]),
    FaultCall(
      "accept", CMSGBOX_CALL_ACCEPT,
      harmless: bounces + [EAGAIN, EINTR, ECONNABORTED, ECONNRESET, EPERM, ETIMEDOUT],
      harmful: [EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSR]),
    FaultCall(
      "recv", CMSGBOX_CALL_RECEIVE, harmless: [EAGAIN, EINTR],
      harmful: [
        ECONNRESET, ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, EHOSTDOWN, ENETUNREACH, ENETDOWN,
        ENOBUFS, ENOMEM,
      ]),
    FaultCall(
      "send", CMSGBOX_CALL_SEND, harmless: [EAGAIN, EINTR],
      harmful: [
        ECONNRESET, ECONNREFUSED, EPIPE, ETIMEDOUT, EHOSTUNREACH, EHOSTDOWN, ENETUNREACH, ENETDOWN,
        ENOBUFS, ENOMEM, EACCES, EPERM,
      ]),
    FaultCall(
      "recvmmsg", CMSGBOX_CALL_RECEIVE_BATCH,
      harmless: bounces + [EAGAIN, EINTR, ENOBUFS, ENOMEM], harmful: []),
    FaultCall(
      "sendmmsg", CMSGBOX_CALL_SEND_BATCH, harmless: [EAGAIN, EINTR],
      // A bounce at a socket that is not connected is of the datagram that was to be sent.
      harmful: bounces + [
        ENOBUFS, ENOMEM, EMSGSIZE, EPERM, EACCES, EADDRNOTAVAIL, EINVAL, EIO,
      ]),
    FaultCall("epoll_wait", CMSGBOX_CALL_POLL, harmless: [EINTR, ENOMEM], harmful: []),
    FaultCall(
      "epoll_create and eventfd", CMSGBOX_CALL_OPEN, harmful: [EMFILE, ENFILE, ENOMEM, ENODEV]),
    FaultCall("pthread_create", CMSGBOX_CALL_THREAD, harmful: [EAGAIN, EPERM]),
    FaultCall(
      "getaddrinfo", CMSGBOX_CALL_RESOLVE,
      harmful: [EAI_AGAIN, EAI_NONAME, EAI_FAIL, EAI_MEMORY, EAI_SYSTEM]),
    FaultCall(
      "setsockopt for trains", CMSGBOX_CALL_OFFLOAD, harmless: [ENOPROTOOPT, EINVAL], harmful: []),
    FaultCall(
      "setsockopt", CMSGBOX_CALL_OPTION, harmful: [EINVAL, ENOPROTOOPT, ENOBUFS, ENOMEM, EPERM]),
    FaultCall("listen", CMSGBOX_CALL_LISTEN, harmful: [EADDRINUSE]),
    FaultCall("getsockname", CMSGBOX_CALL_NAME, harmful: [ENOBUFS]),
    FaultCall("getsockopt", CMSGBOX_CALL_QUERY, harmful: [EINVAL, ENOPROTOOPT, ENOBUFS]),
    FaultCall("shutdown", CMSGBOX_CALL_SHUTDOWN, harmless: [ENOTCONN], harmful: []),
    FaultCall("epoll_ctl to add", CMSGBOX_CALL_WATCH, harmful: [ENOMEM, ENOSPC]),
    // Of what the manual lists, the others are mistakes of the caller.
    FaultCall("epoll_ctl to change", CMSGBOX_CALL_REWATCH, harmful: [ENOMEM]),
    FaultCall("epoll_ctl to remove", CMSGBOX_CALL_UNWATCH, harmless: [ENOMEM], harmful: []),
    FaultCall(
      "read and write of an eventfd", CMSGBOX_CALL_EVENT, harmless: [EAGAIN, EINTR], harmful: []),
    FaultCall("dup", CMSGBOX_CALL_DUPLICATE, harmful: [EMFILE]),
    FaultCall("malloc and mmap", CMSGBOX_CALL_MEMORY, harmful: [ENOMEM]),
  ]

  init(
    _ name: String, _ number: some BinaryInteger, harmless: [Int32] = [], harmful: [Int32]
  ) {
    self.name = name
    self.number = Int32(number)
    self.harmless = harmless
    self.harmful = harmful
  }
}

/// A server and a client on loopback that open, talk in every way and end, in one thread.
struct FaultScenario: CustomTestStringConvertible, Sendable {
  var transport: Transport
  var sharesPort = false
  /// Connects to a name and not to an address.
  var usesName = false

  static let all = [
    FaultScenario(transport: .udp), FaultScenario(transport: .tcp),
    FaultScenario(transport: .udp, sharesPort: true),
    FaultScenario(transport: .tcp, usesName: true),
  ]

  var testDescription: String {
    "\(transport)\(sharesPort ? ", a shared port" : "")\(usesName ? ", by name" : "")"
  }

  private var options: ConnectionOptions {
    var options = ConnectionOptions()
    options.connectTimeout = .milliseconds(60)
    options.getTimeout = .milliseconds(60)
    options.closeTimeout = .milliseconds(60)
    options.heartbeat = .milliseconds(20)
    options.suspect = .milliseconds(40)
    options.lost = .milliseconds(1040)
    options.socketBufferBytes = 100_000
    options.sharePort = sharesPort
    return options
  }

  /// Runs it once; what broke.
  ///
  /// - Parameter isWhole: Whether everything that is sent and asked is to arrive.
  func run(isWhole: Bool = false) -> [String] {
    guard let server = FaultBox(1), let client = FaultBox(2) else { return [] }
    server.react = { box, event in
      if event.kind == .message { box.send(event.bytes, to: event.handle) }
      if event.kind == .request { box.answer(event.bytes, to: event.request) }
    }
    let boxes = [server, client]
    let listener = server.listen(
      Locator(transport: transport, host: loopback, port: 0), options)
    turn(boxes, atMost: 200) { server.isDecided(listener) }
    let waker = server.loop.makeWaker()
    if let port = server.loop.endpoint.localPort(of: listener) {
      let host = usesName ? Locator.Host.name(Array("localhost".utf8)) : loopback
      talk(boxes, client, Locator(transport: transport, host: host, port: port))
    }
    waker?.wake()
    for box in boxes { for handle in box.guarantees.handlesAlive { box.end(handle) } }
    turn(boxes, atMost: 3000) { boxes.allSatisfy { $0.guarantees.handlesAlive.isEmpty } }
    return finish(boxes) + (isWhole && !Self.isWhole(client.log) ? ["\(client.log.string())"] : [])
  }

  private static let plain: [[UInt8]] = [[1], [2, 2]]
  private static let reliable = [UInt8](repeating: 3, count: 40_000)
  private static let questions = [[4], [UInt8](repeating: 5, count: 5000)]

  /// Whether all that `talk` has sent has come back, and all that it has asked was answered.
  private static func isWhole(_ log: EventLog) -> Bool {
    let messages = log.all(.message).map(\.bytes)
    return log.count(.connectionSetup) == 1 && log.count(.delivered) == 1
      && messages.filter { $0.count < 3 } == plain && messages.count(where: { $0 == reliable }) == 1
      && messages.count == 3
      && log.all(.reply).map(\.bytes).sorted { $0.count < $1.count } == questions
  }

  private func talk(_ boxes: [FaultBox], _ client: FaultBox, _ locator: Locator) {
    let connection = client.connect(locator, options)
    client.send(Self.plain[0], to: connection)
    turn(boxes, atMost: 500) { client.isDecided(connection) }
    guard client.isOpen(connection) else { return }
    client.send(Self.plain[1], to: connection)
    client.send(Self.reliable, to: connection, isReliable: true)
    for question in Self.questions { client.ask(question, from: connection) }
    turn(boxes, atMost: 100) {
      !client.guarantees.isAlive(connection)
        || client.guarantees.outcomesMissing == 0 && client.log.count(.message) == 3
          && client.log.count(.reply) + client.log.count(.replyMissing) == 2
    }
  }

  private func finish(_ boxes: [FaultBox]) -> [String] {
    var broken = boxes.flatMap(\.broken.texts)
    for box in boxes {
      let alive = box.guarantees.handlesAlive.count
      if alive > 0 { broken.append("\(alive) handles have no end: \(box.log.string())") }
      if box.guarantees.outcomesMissing > 0 { broken.append("outcomes are missing") }
      box.shutDown()
      box.react = { _, _ in }
      let census = box.loop.endpoint.census
      if !census.isEmpty { broken.append("\(census) is left") }
    }
    return broken
  }

  /// Turns both until `isDone`, or that many milliseconds.
  private func turn(_ boxes: [FaultBox], atMost limit: UInt64, until isDone: () -> Bool) {
    let end = SystemClock.now + .milliseconds(limit)
    var turns = 0
    while !isDone(), SystemClock.now < end {
      // Both are busy at first, then timers are waited for.
      for box in boxes { box.turn(turns < 40 ? 0 : 1) }
      turns += 1
    }
  }
}
