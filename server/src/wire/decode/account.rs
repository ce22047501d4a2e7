//! DescribeLimits and DescribeEndpoints: requests without members.

use super::Decode;
use super::reader::{Decoded, Reader};
use crate::operation::describe_endpoints::DescribeEndpoints;
use crate::operation::describe_limits::DescribeLimits;

impl Decode for DescribeLimits {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        reader.object(|reader, _| reader.skip())?;
        Ok(Self)
    }
}

impl Decode for DescribeEndpoints {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        reader.object(|reader, _| reader.skip())?;
        Ok(Self)
    }
}
