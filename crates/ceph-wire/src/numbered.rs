//! Enums that travel as a number.

/// Declares enums that travel as a number of the given type; a number that is not listed is refused.
macro_rules! numbered {
    ($($(#[$meta:meta])* $name:ident: $number:ty {
        $($(#[$variant_meta:meta])* $variant:ident = $value:literal,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As it travels.
            pub const fn number(self) -> $number {
                match self { $(Self::$variant => $value,)* }
            }

            /// The one with that number.
            pub fn from_number(number: $number) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.number() == number)
            }
        }

        impl $crate::Wire for $name {
            fn put(&self, out: &mut $crate::Writer) {
                self.number().put(out);
            }

            fn take(from: &mut $crate::Reader<'_>) -> Result<Self, $crate::WireError> {
                let number = <$number as $crate::Wire>::take(from)?;
                let unknown = $crate::Problem::Unknown(number.into());
                Self::from_number(number).ok_or($crate::WireError::new(unknown))
            }
        }

        #[cfg(test)]
        impl $crate::sample::Sample for $name {
            fn sample(draw: &mut $crate::sample::Draw<'_>) -> Self {
                let drawn: u8 = $crate::sample::Sample::sample(draw);
                Self::ALL[usize::from(drawn) % Self::ALL.len()]
            }
        }
    )*};
}
