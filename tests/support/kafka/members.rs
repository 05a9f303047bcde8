//! Members of a group that died without a word.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::Cluster;

const LIMIT: Duration = Duration::from_secs(10);

/// `LeaveGroup`, in the last version that is about one member.
const LEAVE_GROUP: (i16, i16) = (13, 1);

impl Cluster {
    /// Has every member leave a group, as the session timeout would have some seconds later: for
    /// tests that kill so often that they cannot wait for it.
    pub fn expel_all(&self, group: &str) {
        let asker: BaseConsumer = super::client(&self.bootstrap(), &[]);
        let list = asker.fetch_group_list(Some(group), LIMIT).expect("the group");
        for member in list.groups().iter().flat_map(rdkafka::groups::GroupInfo::members) {
            self.leave(group, member.id()).expect("a broker that takes a request");
        }
    }

    /// Says what a member would say that leaves.
    fn leave(&self, group: &str, member: &str) -> std::io::Result<()> {
        let (key, version) = LEAVE_GROUP;
        let mut request = Vec::new();
        request.extend(key.to_be_bytes());
        request.extend(version.to_be_bytes());
        request.extend(0_i32.to_be_bytes());
        for text in ["test", group, member] {
            request.extend(i16::try_from(text.len()).expect("a short text").to_be_bytes());
            request.extend(text.as_bytes());
        }
        let mut broker = TcpStream::connect(self.bootstrap())?;
        broker.set_read_timeout(Some(LIMIT))?;
        broker.write_all(&u32::try_from(request.len()).expect("a short request").to_be_bytes())?;
        broker.write_all(&request)?;
        // The size, the request's number, how long it was throttled, an error if it had left before.
        broker.read_exact(&mut [0; 14])
    }
}
